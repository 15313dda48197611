package machine

import (
	"errors"
	"syscall"
	"unsafe"
)

// HKLM alone; the program is of 64 bits, and so is its view.

var (
	advapi32       = syscall.NewLazyDLL("advapi32.dll")
	regCreateKey   = advapi32.NewProc("RegCreateKeyExW")
	regSetValue    = advapi32.NewProc("RegSetValueExW")
	regDeleteValue = advapi32.NewProc("RegDeleteValueW")
	regDeleteKey   = advapi32.NewProc("RegDeleteKeyW")
	regEnumValue   = advapi32.NewProc("RegEnumValueW")
)

const noMoreItems = syscall.Errno(259)

func code(result uintptr) error {
	if result == 0 {
		return nil
	}
	return syscall.Errno(result)
}

func wide(text string) (*uint16, error) { return syscall.UTF16PtrFromString(text) }

// opened works with a key; false: there is none.
func opened(path string, access uint32, work func(syscall.Handle) error) (bool, error) {
	name, err := wide(path)
	if err != nil {
		return false, err
	}
	var key syscall.Handle
	err = syscall.RegOpenKeyEx(syscall.HKEY_LOCAL_MACHINE, name, 0, access, &key)
	if errors.Is(err, syscall.ERROR_FILE_NOT_FOUND) || errors.Is(err, syscall.ERROR_PATH_NOT_FOUND) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer syscall.RegCloseKey(key)
	return true, work(key)
}

func hasKey(path string) (bool, error) {
	return opened(path, syscall.KEY_READ, func(syscall.Handle) error { return nil })
}

func createKey(path string) error {
	name, err := wide(path)
	if err != nil {
		return err
	}
	var key syscall.Handle
	result, _, _ := regCreateKey.Call(uintptr(syscall.HKEY_LOCAL_MACHINE), uintptr(unsafe.Pointer(name)), 0, 0, 0,
		syscall.KEY_WRITE, 0, uintptr(unsafe.Pointer(&key)), 0)
	if err := code(result); err != nil {
		return err
	}
	return syscall.RegCloseKey(key)
}

func value(path, name string) (string, bool, error) {
	all, err := values(path)
	found, there := all[name]
	return found, there, err
}

// values gives the texts of a key, by name; a number or bytes count as a text that says nothing.
func values(path string) (map[string]string, error) {
	all := map[string]string{}
	_, err := opened(path, syscall.KEY_READ, func(key syscall.Handle) error {
		for rank := uintptr(0); ; rank++ {
			name, data := make([]uint16, 16384), make([]uint16, 1<<16)
			nameSize, dataSize := uint32(len(name)), uint32(2*len(data))
			var kind uint32
			result, _, _ := regEnumValue.Call(uintptr(key), rank, uintptr(unsafe.Pointer(&name[0])),
				uintptr(unsafe.Pointer(&nameSize)), 0, uintptr(unsafe.Pointer(&kind)), uintptr(unsafe.Pointer(&data[0])),
				uintptr(unsafe.Pointer(&dataSize)))
			if syscall.Errno(result) == noMoreItems {
				return nil
			}
			if err := code(result); err != nil {
				return err
			}
			text := "(autre chose qu'un texte)"
			if kind == syscall.REG_SZ || kind == syscall.REG_EXPAND_SZ {
				text = syscall.UTF16ToString(data[:dataSize/2])
			}
			all[syscall.UTF16ToString(name[:nameSize])] = text
		}
	})
	return all, err
}

func setValue(path, name, data string) error {
	wideName, err := wide(name)
	if err != nil {
		return err
	}
	content, err := syscall.UTF16FromString(data)
	if err != nil {
		return err
	}
	there, err := opened(path, syscall.KEY_SET_VALUE, func(key syscall.Handle) error {
		result, _, _ := regSetValue.Call(uintptr(key), uintptr(unsafe.Pointer(wideName)), 0, syscall.REG_SZ,
			uintptr(unsafe.Pointer(&content[0])), uintptr(2*len(content)))
		return code(result)
	})
	if err == nil && !there {
		err = syscall.ERROR_FILE_NOT_FOUND
	}
	return err
}

func deleteValue(path, name string) error {
	wideName, err := wide(name)
	if err != nil {
		return err
	}
	_, err = opened(path, syscall.KEY_SET_VALUE, func(key syscall.Handle) error {
		result, _, _ := regDeleteValue.Call(uintptr(key), uintptr(unsafe.Pointer(wideName)))
		return code(result)
	})
	return err
}

func deleteEmptyKey(path string) error {
	empty := false
	there, err := opened(path, syscall.KEY_READ, func(key syscall.Handle) error {
		var subkeys, all uint32
		err := syscall.RegQueryInfoKey(key, nil, nil, nil, &subkeys, nil, nil, &all, nil, nil, nil, nil)
		empty = subkeys == 0 && all == 0
		return err
	})
	if err != nil || !there || !empty {
		return err
	}
	name, err := wide(path)
	if err != nil {
		return err
	}
	result, _, _ := regDeleteKey.Call(uintptr(syscall.HKEY_LOCAL_MACHINE), uintptr(unsafe.Pointer(name)))
	return code(result)
}
