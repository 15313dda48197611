package main

import (
	"os"
	"path/filepath"
	"syscall"
	"unsafe"

	"creatic-poste/internal/keys"
)

func store(folder string) keys.Store { return keys.Folder{Path: filepath.Join(folder, "certificats")} }

// lock holds a file that nobody else can hold meanwhile.
func lock(path string) (func(), error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = file.Close()
		return nil, err
	}
	return func() { _ = file.Close() }, nil
}

// hide stops showing what is typed, if it is typed; gives what shows it again.
func hide(in *os.File) func() {
	var mode syscall.Termios
	ask := func(request uintptr, mode *syscall.Termios) bool {
		_, _, err := syscall.Syscall(syscall.SYS_IOCTL, in.Fd(), request, uintptr(unsafe.Pointer(mode)))
		return err == 0
	}
	if !ask(syscall.TCGETS, &mode) {
		return func() {}
	}
	hidden := mode
	hidden.Lflag &^= syscall.ECHO
	ask(syscall.TCSETS, &hidden)
	return func() { ask(syscall.TCSETS, &mode) }
}

// withoutWindow gives back the console, if the program has one of its own.
func withoutWindow() {}
