package pkcs11x

import "syscall"

// As PKCS#11 has it on Windows: CK_ULONG is 32 bits, and structures are packed.
const (
	ulongSize         = 4
	functionsFrom     = 2
	alteredSearchPath = 8 // LOAD_WITH_ALTERED_SEARCH_PATH: what a module needs is looked for beside it
)

var loadLibraryEx = syscall.NewLazyDLL("kernel32.dll").NewProc("LoadLibraryExW")

func load(path string) (uintptr, error) {
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return 0, err
	}
	handle, _, err := loadLibraryEx.Call(pointer(name), 0, alteredSearchPath)
	if handle == 0 {
		return 0, err
	}
	return syscall.GetProcAddress(syscall.Handle(handle), "C_GetFunctionList")
}

func invoke(function uintptr, arguments ...uintptr) uint32 {
	code, _, _ := syscall.SyscallN(function, arguments...)
	return uint32(code)
}
