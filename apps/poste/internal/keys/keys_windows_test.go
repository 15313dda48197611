package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"testing"
	"unsafe"
)

func address[T any](value *T) uintptr { return uintptr(unsafe.Pointer(value)) }

// CNG as far as Wine has it: a key without a name, which lives as long as its handle.
func TestACNGKeySigns(t *testing.T) {
	key, err := createCNG("")
	if err != nil {
		t.Fatal(err)
	}
	defer key.Close()
	public := key.Public().(*rsa.PublicKey)
	if public.N.BitLen() != Bits {
		t.Error(public.N.BitLen())
	}
	digest := sha256.Sum256([]byte("x"))
	signature, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	if err := rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], signature); err != nil {
		t.Error(err)
	}
	signature, err = key.Sign(rand.Reader, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256})
	if err != nil {
		t.Fatal(err)
	}
	if err := rsa.VerifyPSS(public, crypto.SHA256, digest[:], signature, nil); err != nil {
		t.Error(err)
	}
}

func TestWhereCNGKeepsNothingItIsNotBelieved(t *testing.T) {
	const name = "creatic-essai-cng"
	key, err := makeCNG(name)
	if err == nil { // a Windows
		defer deleteCNG(name)
		key.Close()
		if key, err = openCNG(name); err != nil {
			t.Fatal(err)
		}
		key.Close()
		return
	}
	if !errors.Is(err, ErrUnsupported) {
		t.Error(err)
	}
}

func TestALegacyKeyStaysAndCannotBeTakenOut(t *testing.T) {
	const name = "creatic-essai"
	defer deleteLegacy(name)
	first, err := openLegacy(name, true)
	if err != nil {
		t.Fatal(err)
	}
	public := first.Public().(*rsa.PublicKey)
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	again, err := openLegacy(name, false)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if !public.Equal(again.Public()) {
		t.Error("another key")
	}
	var key uintptr
	if err := legacyCall(getUserKey, again.(*legacyKey).context, atKeyExchange, address(&key)); err != nil {
		t.Fatal(err)
	}
	defer legacyCall(destroyKey, key)
	content := make([]byte, 8192)
	size := uint32(len(content))
	if err := legacyCall(exportKey, key, 0, privateBlob, 0, address(&content[0]), address(&size)); err == nil {
		t.Error("the private key was taken out")
	}
}

func TestAContainerWithoutAKeyIsWhatAPowerCutLeaves(t *testing.T) {
	const name = "creatic-essai-vide"
	defer deleteLegacy(name)
	context, err := legacyContext(name, newKeyset)
	if err != nil {
		t.Fatal(err)
	}
	if err := legacyCall(releaseContext, context, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := (Windows{}).Open(name); !errors.Is(err, ErrAbsent) {
		t.Error(err)
	}
	key, err := (Windows{}).Make(name)
	if err != nil {
		t.Fatal(err)
	}
	key.Close()
}

func TestAnImportedKeySigns(t *testing.T) {
	const name = "creatic-essai-importe"
	defer (Windows{}).Delete(name)
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	key, err := (Windows{}).Import(name, private)
	if err != nil {
		t.Fatal(err)
	}
	defer key.Close()
	digest := sha256.Sum256([]byte("x"))
	signature, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	if err := rsa.VerifyPKCS1v15(&private.PublicKey, crypto.SHA256, digest[:], signature); err != nil {
		t.Error(err)
	}
	elliptic, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := importLegacy(name+"-ec", elliptic); !errors.Is(err, ErrUnsupported) {
		t.Error(err)
	}
}
