// Package durable writes files that a power cut leaves whole: the former content, or the new one.
package durable

import (
	"os"
	"path/filepath"
	"runtime"
)

// Write replaces a file's content, and makes its folder if there is none.
func Write(path string, content []byte, mode os.FileMode) error {
	folder := filepath.Dir(path)
	folderMode := os.FileMode(0o755)
	if mode&0o077 == 0 {
		folderMode = 0o700
	}
	if err := os.MkdirAll(folder, folderMode); err != nil {
		return err
	}
	file, err := os.CreateTemp(folder, "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // nothing once it is renamed
	_, err = file.Write(content)
	if err == nil {
		err = file.Chmod(mode)
	}
	if err == nil {
		err = file.Sync()
	}
	if other := file.Close(); err == nil {
		err = other
	}
	if err != nil {
		return err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return err
	}
	if runtime.GOOS == "windows" { // a folder cannot be flushed there
		return nil
	}
	opened, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer opened.Close()
	return opened.Sync()
}
