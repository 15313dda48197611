package main

import (
	"os"
	"syscall"

	"creatic-poste/internal/keys"
)

const echo = 0x4 // ENABLE_ECHO_INPUT

var (
	kernel32       = syscall.NewLazyDLL("kernel32.dll")
	setConsoleMode = kernel32.NewProc("SetConsoleMode")
	freeConsole    = kernel32.NewProc("FreeConsole")
)

func store(string) keys.Store { return keys.Windows{} }

// lock holds a file that nobody else can open meanwhile.
func lock(path string) (func(), error) {
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return nil, err
	}
	handle, err := syscall.CreateFile(name, syscall.GENERIC_WRITE, 0, nil, syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	if err != nil {
		return nil, err
	}
	return func() { _ = syscall.CloseHandle(handle) }, nil
}

// hide stops showing what is typed, if it is typed; gives what shows it again.
func hide(in *os.File) func() {
	var mode uint32
	handle := syscall.Handle(in.Fd())
	if syscall.GetConsoleMode(handle, &mode) != nil {
		return func() {}
	}
	set := func(mode uint32) { _, _, _ = setConsoleMode.Call(uintptr(handle), uintptr(mode)) }
	set(mode &^ echo)
	return func() { set(mode) }
}

// withoutWindow gives back the console, whose window closes if it is nobody else's.
func withoutWindow() { _, _, _ = freeConsole.Call() }
