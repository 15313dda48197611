package keys

import (
	"crypto"
	"crypto/rsa"
	"encoding/binary"
	"errors"
	"io"
	"math/big"
	"slices"
	"syscall"
	"unsafe"
)

// CryptoAPI, where CNG keeps no key (Wine): RSA and PKCS#1 alone.
const (
	legacyProvider = "Microsoft Enhanced RSA and AES Cryptographic Provider"
	provRSAAES     = 24
	atKeyExchange  = 1
	newKeyset      = 0x8
	deleteKeyset   = 0x10
	silentContext  = 0x40
	publicBlob     = 6
	privateBlob    = 7
	hashValue      = 2 // HP_HASHVAL
	algRSAKeyx     = 0xa400
)

var (
	advapi32        = syscall.NewLazyDLL("advapi32.dll")
	acquireContext  = advapi32.NewProc("CryptAcquireContextW")
	releaseContext  = advapi32.NewProc("CryptReleaseContext")
	genKey          = advapi32.NewProc("CryptGenKey")
	getUserKey      = advapi32.NewProc("CryptGetUserKey")
	destroyKey      = advapi32.NewProc("CryptDestroyKey")
	exportKey       = advapi32.NewProc("CryptExportKey")
	importKey       = advapi32.NewProc("CryptImportKey")
	createHash      = advapi32.NewProc("CryptCreateHash")
	setHashParam    = advapi32.NewProc("CryptSetHashParam")
	signHash        = advapi32.NewProc("CryptSignHashW")
	destroyHash     = advapi32.NewProc("CryptDestroyHash")
	legacyHashes    = map[crypto.Hash]uintptr{crypto.SHA256: 0x800c, crypto.SHA384: 0x800d, crypto.SHA512: 0x800e}
	errLegacyKeyset = syscall.Errno(0x80090016) // NTE_BAD_KEYSET
	errLegacyNoKey  = syscall.Errno(0x8009000d) // NTE_NO_KEY
)

type legacyKey struct {
	context uintptr
	public  *rsa.PublicKey
}

func legacyCall(function *syscall.LazyProc, arguments ...uintptr) error {
	if done, _, err := function.Call(arguments...); done == 0 {
		return err
	}
	return nil
}

func legacyContext(container string, flags uintptr) (uintptr, error) {
	var context uintptr
	err := legacyCall(acquireContext, uintptr(unsafe.Pointer(&context)), uintptr(unsafe.Pointer(wide(container))),
		uintptr(unsafe.Pointer(wide(legacyProvider))), provRSAAES, flags|silentContext)
	return context, err
}

// openLegacy opens a container's key; it is made, not exportable, if it lacks and is wanted. A container without a key is
// what a power cut leaves.
func openLegacy(container string, make bool) (Key, error) {
	context, err := legacyContext(container, 0)
	if errors.Is(err, errLegacyKeyset) {
		if !make {
			return nil, ErrAbsent
		}
		context, err = legacyContext(container, newKeyset)
	}
	if err != nil {
		return nil, err
	}
	var key uintptr
	err = legacyCall(getUserKey, context, atKeyExchange, uintptr(unsafe.Pointer(&key)))
	if err != nil {
		if !make || !errors.Is(err, errLegacyNoKey) {
			_ = legacyCall(releaseContext, context, 0)
			if errors.Is(err, errLegacyNoKey) {
				return nil, ErrAbsent
			}
			return nil, err
		}
		if err = legacyCall(genKey, context, atKeyExchange, Bits<<16, uintptr(unsafe.Pointer(&key))); err != nil {
			_ = legacyCall(releaseContext, context, 0)
			return nil, err
		}
		// Wine writes the key down only when the context goes.
		_ = legacyCall(destroyKey, key)
		if err := legacyCall(releaseContext, context, 0); err != nil {
			return nil, err
		}
		return openLegacy(container, false)
	}
	defer legacyCall(destroyKey, key)
	public, err := legacyPublic(key)
	if err != nil {
		_ = legacyCall(releaseContext, context, 0)
		return nil, err
	}
	return &legacyKey{context, public}, nil
}

// legacyPublic reads PUBLICKEYBLOB: header (8 bytes), magic, bits, exponent, then the modulus, little-endian.
func legacyPublic(key uintptr) (*rsa.PublicKey, error) {
	content := make([]byte, 4096)
	size := uint32(len(content))
	err := legacyCall(exportKey, key, 0, publicBlob, 0, uintptr(unsafe.Pointer(&content[0])), uintptr(unsafe.Pointer(&size)))
	if err != nil {
		return nil, err
	}
	content = content[:size]
	if len(content) < 20 {
		return nil, ErrUnsupported
	}
	length := int(binary.LittleEndian.Uint32(content[12:]) / 8)
	if len(content) < 20+length {
		return nil, ErrUnsupported
	}
	modulus := slices.Clone(content[20 : 20+length])
	slices.Reverse(modulus)
	return &rsa.PublicKey{N: new(big.Int).SetBytes(modulus), E: int(binary.LittleEndian.Uint32(content[16:]))}, nil
}

func importLegacy(container string, key crypto.PrivateKey) (Key, error) {
	private, ok := key.(*rsa.PrivateKey)
	if !ok || len(private.Primes) != 2 || private.N.BitLen()%16 != 0 || private.E > 0xffffffff {
		return nil, ErrUnsupported
	}
	if err := deleteLegacy(container); err != nil {
		return nil, err
	}
	context, err := legacyContext(container, newKeyset)
	if err != nil {
		return nil, err
	}
	content := legacyPrivate(private)
	var handle uintptr
	err = legacyCall(importKey, context, uintptr(unsafe.Pointer(&content[0])), uintptr(len(content)), 0, 0,
		uintptr(unsafe.Pointer(&handle)))
	clear(content)
	if err == nil {
		_ = legacyCall(destroyKey, handle)
	}
	if other := legacyCall(releaseContext, context, 0); err == nil {
		err = other
	}
	if err != nil {
		_ = deleteLegacy(container)
		return nil, err
	}
	return openLegacy(container, false)
}

// legacyPrivate writes PRIVATEKEYBLOB.
func legacyPrivate(key *rsa.PrivateKey) []byte {
	size := key.N.BitLen() / 8
	content := []byte{privateBlob, 2, 0, 0}
	content = binary.LittleEndian.AppendUint32(content, algRSAKeyx)
	content = append(content, "RSA2"...)
	content = binary.LittleEndian.AppendUint32(content, uint32(key.N.BitLen()))
	content = binary.LittleEndian.AppendUint32(content, uint32(key.E))
	add := func(number *big.Int, length int) {
		part := number.FillBytes(make([]byte, length))
		slices.Reverse(part)
		content = append(content, part...)
	}
	key.Precompute()
	add(key.N, size)
	add(key.Primes[0], size/2)
	add(key.Primes[1], size/2)
	add(key.Precomputed.Dp, size/2)
	add(key.Precomputed.Dq, size/2)
	add(key.Precomputed.Qinv, size/2)
	add(key.D, size)
	return content
}

func deleteLegacy(container string) error {
	_, err := legacyContext(container, deleteKeyset)
	if errors.Is(err, errLegacyKeyset) {
		return nil
	}
	return err
}

func (k *legacyKey) Public() crypto.PublicKey { return k.public }
func (k *legacyKey) Provider() string         { return "CryptoAPI" }
func (k *legacyKey) Close() error             { return legacyCall(releaseContext, k.context, 0) }

func (k *legacyKey) Sign(_ io.Reader, digest []byte, options crypto.SignerOpts) ([]byte, error) {
	algorithm, known := legacyHashes[options.HashFunc()]
	_, isPSS := options.(*rsa.PSSOptions)
	if !known || isPSS || len(digest) != options.HashFunc().Size() {
		return nil, ErrUnsupported
	}
	var hash uintptr
	if err := legacyCall(createHash, k.context, algorithm, 0, 0, uintptr(unsafe.Pointer(&hash))); err != nil {
		return nil, err
	}
	defer legacyCall(destroyHash, hash)
	if err := legacyCall(setHashParam, hash, hashValue, uintptr(unsafe.Pointer(&digest[0])), 0); err != nil {
		return nil, err
	}
	signature := make([]byte, 1024)
	size := uint32(len(signature))
	err := legacyCall(signHash, hash, atKeyExchange, 0, 0, uintptr(unsafe.Pointer(&signature[0])), uintptr(unsafe.Pointer(&size)))
	if err != nil {
		return nil, err
	}
	signature = signature[:size]
	slices.Reverse(signature)
	return signature, nil
}
