package pkcs11x

// #cgo LDFLAGS: -ldl
// #include <dlfcn.h>
// #include <stdint.h>
// #include <stdlib.h>
//
// typedef unsigned long (*creatic_function)(uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t);
//
// static unsigned long creatic_call(uintptr_t function, uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e) {
// 	return ((creatic_function)function)(a, b, c, d, e, 0);
// }
import "C"

import (
	"errors"
	"unsafe"
)

// As the module was compiled: CK_ULONG is C's unsigned long, and structures are aligned.
const (
	ulongSize     = 8
	functionsFrom = 8 // CK_FUNCTION_LIST: after the version and what aligns
)

func load(path string) (uintptr, error) {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	handle := C.dlopen(name, C.RTLD_NOW|C.RTLD_LOCAL)
	if handle == nil {
		return 0, errors.New(C.GoString(C.dlerror()))
	}
	symbol := C.CString("C_GetFunctionList")
	defer C.free(unsafe.Pointer(symbol))
	found := C.dlsym(handle, symbol)
	if found == nil {
		return 0, errors.New("C_GetFunctionList absent")
	}
	return uintptr(found), nil
}

func invoke(function uintptr, arguments ...uintptr) uint32 {
	var a [5]uintptr
	copy(a[:], arguments)
	return uint32(C.creatic_call(C.uintptr_t(function), C.uintptr_t(a[0]), C.uintptr_t(a[1]), C.uintptr_t(a[2]),
		C.uintptr_t(a[3]), C.uintptr_t(a[4])))
}
