package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"fmt"
	"io"
	"math/big"
	"runtime"
	"syscall"
	"unsafe"
)

// CNG, the keys that today's browsers prefer. Wine has the provider, and keeps no key in it.
const (
	cngProvider  = "Microsoft Software Key Storage Provider"
	silent       = 0x40 // NCRYPT_SILENT_FLAG
	padPKCS1     = 2
	padPSS       = 8
	bufferName   = 45         // NCRYPTBUFFER_PKCS_KEY_NAME
	statusAbsent = 0x80090016 // NTE_BAD_KEYSET
)

var (
	ncrypt             = syscall.NewLazyDLL("ncrypt.dll")
	ncryptOpenProvider = ncrypt.NewProc("NCryptOpenStorageProvider")
	ncryptOpenKey      = ncrypt.NewProc("NCryptOpenKey")
	ncryptCreateKey    = ncrypt.NewProc("NCryptCreatePersistedKey")
	ncryptSetProperty  = ncrypt.NewProc("NCryptSetProperty")
	ncryptFinalizeKey  = ncrypt.NewProc("NCryptFinalizeKey")
	ncryptExportKey    = ncrypt.NewProc("NCryptExportKey")
	ncryptImportKey    = ncrypt.NewProc("NCryptImportKey")
	ncryptSignHash     = ncrypt.NewProc("NCryptSignHash")
	ncryptDeleteKey    = ncrypt.NewProc("NCryptDeleteKey")
	ncryptFreeObject   = ncrypt.NewProc("NCryptFreeObject")
	hashNames          = map[crypto.Hash]string{crypto.SHA256: "SHA256", crypto.SHA384: "SHA384", crypto.SHA512: "SHA512"}
)

type cngKey struct {
	provider, handle uintptr
	public           crypto.PublicKey
}

type status uint32

func (s status) Error() string { return fmt.Sprintf("CNG 0x%08x", uint32(s)) }

func call(function *syscall.LazyProc, arguments ...uintptr) error {
	if function.Find() != nil {
		return ErrUnsupported
	}
	if code, _, _ := function.Call(arguments...); uint32(code) != 0 {
		return status(code)
	}
	return nil
}

func openProvider() (uintptr, error) {
	var provider uintptr
	err := call(ncryptOpenProvider, uintptr(unsafe.Pointer(&provider)), uintptr(unsafe.Pointer(wide(cngProvider))), 0)
	if err != nil {
		return 0, ErrUnsupported
	}
	return provider, nil
}

// openCNG: ErrAbsent where CNG keeps keys and not this one, ErrUnsupported where it keeps none.
func openCNG(container string) (Key, error) {
	provider, err := openProvider()
	if err != nil {
		return nil, err
	}
	var handle uintptr
	err = call(ncryptOpenKey, provider, uintptr(unsafe.Pointer(&handle)), uintptr(unsafe.Pointer(wide(container))), 0, silent)
	if err != nil {
		_ = call(ncryptFreeObject, provider)
		if err == status(statusAbsent) {
			return nil, ErrAbsent
		}
		return nil, ErrUnsupported
	}
	return wrap(provider, handle)
}

func wrap(provider, handle uintptr) (*cngKey, error) {
	key := &cngKey{provider: provider, handle: handle}
	var err error
	if key.public, err = key.export(); err != nil {
		_ = key.Close()
		return nil, err
	}
	return key, nil
}

// makeCNG makes a key that cannot be taken out (the provider's own default), and reads it again: Wine says yes and keeps
// nothing.
func makeCNG(container string) (Key, error) {
	if _, err := openCNG(container); err != ErrAbsent {
		return nil, ErrUnsupported
	}
	key, err := createCNG(container)
	if err != nil {
		return nil, err
	}
	_ = key.Close()
	return openCNG(container)
}

// createCNG makes an RSA key; without a name it lives as long as its handle.
func createCNG(container string) (*cngKey, error) {
	provider, err := openProvider()
	if err != nil {
		return nil, err
	}
	var name uintptr
	if container != "" {
		name = uintptr(unsafe.Pointer(wide(container)))
	}
	var handle uintptr
	err = call(ncryptCreateKey, provider, uintptr(unsafe.Pointer(&handle)), uintptr(unsafe.Pointer(wide("RSA"))), name, 0, 0)
	if err != nil {
		_ = call(ncryptFreeObject, provider)
		return nil, err
	}
	bits := uint32(Bits)
	err = call(ncryptSetProperty, handle, uintptr(unsafe.Pointer(wide("Length"))), uintptr(unsafe.Pointer(&bits)), 4, silent)
	if err == nil {
		err = call(ncryptFinalizeKey, handle, silent)
	}
	if err != nil {
		_ = call(ncryptFreeObject, handle)
		_ = call(ncryptFreeObject, provider)
		return nil, err
	}
	return wrap(provider, handle)
}

type cngBuffer struct {
	size uint32
	kind uint32
	data unsafe.Pointer
}

type cngBuffers struct {
	version uint32
	count   uint32
	list    *cngBuffer
}

func importCNG(container string, key crypto.PrivateKey) (Key, error) {
	if _, err := openCNG(container); err != ErrAbsent {
		return nil, ErrUnsupported
	}
	content, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, ErrUnsupported
	}
	provider, err := openProvider()
	if err != nil {
		return nil, err
	}
	defer call(ncryptFreeObject, provider)
	name := wideSlice(container)
	buffer := cngBuffer{uint32(2 * len(name)), bufferName, unsafe.Pointer(&name[0])}
	buffers := cngBuffers{0, 1, &buffer}
	var handle uintptr
	err = call(ncryptImportKey, provider, 0, uintptr(unsafe.Pointer(wide("PKCS8_PRIVATEKEY"))),
		uintptr(unsafe.Pointer(&buffers)), uintptr(unsafe.Pointer(&handle)), uintptr(unsafe.Pointer(&content[0])),
		uintptr(len(content)), silent)
	runtime.KeepAlive(name)
	clear(content)
	if err != nil {
		return nil, err
	}
	_ = call(ncryptFreeObject, handle)
	return openCNG(container)
}

func deleteCNG(container string) error {
	key, err := openCNG(container)
	if err != nil {
		return nil // none of that name
	}
	found := key.(*cngKey)
	err = call(ncryptDeleteKey, found.handle, silent) // frees the handle
	_ = call(ncryptFreeObject, found.provider)
	return err
}

func (k *cngKey) Public() crypto.PublicKey { return k.public }
func (k *cngKey) Provider() string         { return "CNG" }

func (k *cngKey) Close() error {
	err := call(ncryptFreeObject, k.handle)
	if other := call(ncryptFreeObject, k.provider); err == nil {
		err = other
	}
	return err
}

func (k *cngKey) export() (crypto.PublicKey, error) {
	if content, err := k.exported("RSAPUBLICBLOB"); err == nil {
		return rsaPublic(content)
	}
	content, err := k.exported("ECCPUBLICBLOB")
	if err != nil {
		return nil, err
	}
	return ecPublic(content)
}

func (k *cngKey) exported(kind string) ([]byte, error) {
	content := make([]byte, 4096)
	var size uint32
	err := call(ncryptExportKey, k.handle, 0, uintptr(unsafe.Pointer(wide(kind))), 0, uintptr(unsafe.Pointer(&content[0])),
		uintptr(len(content)), uintptr(unsafe.Pointer(&size)), silent)
	if err != nil {
		return nil, err
	}
	return content[:size], nil
}

// rsaPublic reads BCRYPT_RSAKEY_BLOB: magic, bits, sizes of exponent, modulus and primes, then the numbers, big-endian.
func rsaPublic(content []byte) (*rsa.PublicKey, error) {
	if len(content) < 24 {
		return nil, ErrUnsupported
	}
	exponent, modulus := int(binary.LittleEndian.Uint32(content[8:])), int(binary.LittleEndian.Uint32(content[12:]))
	if len(content) < 24+exponent+modulus || exponent > 4 {
		return nil, ErrUnsupported
	}
	e := new(big.Int).SetBytes(content[24 : 24+exponent])
	n := new(big.Int).SetBytes(content[24+exponent : 24+exponent+modulus])
	return &rsa.PublicKey{N: n, E: int(e.Int64())}, nil
}

// ecPublic reads BCRYPT_ECCKEY_BLOB: magic, size of a coordinate, then the two.
func ecPublic(content []byte) (*ecdsa.PublicKey, error) {
	if len(content) < 8 {
		return nil, ErrUnsupported
	}
	size := int(binary.LittleEndian.Uint32(content[4:]))
	curve, known := map[int]elliptic.Curve{32: elliptic.P256(), 48: elliptic.P384(), 66: elliptic.P521()}[size]
	if !known || len(content) < 8+2*size {
		return nil, ErrUnsupported
	}
	return &ecdsa.PublicKey{Curve: curve, X: new(big.Int).SetBytes(content[8 : 8+size]),
		Y: new(big.Int).SetBytes(content[8+size : 8+2*size])}, nil
}

func (k *cngKey) Sign(_ io.Reader, digest []byte, options crypto.SignerOpts) ([]byte, error) {
	name, known := hashNames[options.HashFunc()]
	if !known || len(digest) != options.HashFunc().Size() {
		return nil, ErrUnsupported
	}
	var padding uintptr
	var flags uint32 = 0
	pss := struct {
		hash *uint16
		salt uint32
	}{wide(name), uint32(len(digest))}
	pkcs1 := struct{ hash *uint16 }{wide(name)}
	if _, isRSA := k.public.(*rsa.PublicKey); isRSA {
		if _, isPSS := options.(*rsa.PSSOptions); isPSS {
			padding, flags = uintptr(unsafe.Pointer(&pss)), padPSS
		} else {
			padding, flags = uintptr(unsafe.Pointer(&pkcs1)), padPKCS1
		}
	}
	signature := make([]byte, 1024)
	var size uint32
	err := call(ncryptSignHash, k.handle, padding, uintptr(unsafe.Pointer(&digest[0])), uintptr(len(digest)),
		uintptr(unsafe.Pointer(&signature[0])), uintptr(len(signature)), uintptr(unsafe.Pointer(&size)), uintptr(flags))
	runtime.KeepAlive(&pss)
	runtime.KeepAlive(&pkcs1)
	if err != nil {
		return nil, err
	}
	signature = signature[:size]
	if _, isEC := k.public.(*ecdsa.PublicKey); isEC {
		half := len(signature) / 2
		return asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:])})
	}
	return signature, nil
}
