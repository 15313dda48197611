// Package keys keeps one account's keys and certificates where its browsers find them: Windows' own stores, or a folder.
package keys

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
)

// Bits of the RSA keys that are made: what Windows' two families of providers can both make, and the door takes.
const Bits = 3072

// ErrAbsent: no key has that name.
var ErrAbsent = errors.New("no such key")

// ErrUnsupported: this system cannot keep a key of that kind.
var ErrUnsupported = errors.New("key of a kind that this system cannot keep")

// Key is a private key that stays where it is; it must be closed.
type Key interface {
	crypto.Signer
	Provider() string // "CNG", "CryptoAPI" or "dossier"
	Close() error
}

// Installed is a certificate of the account's store.
type Installed struct {
	Certificate *x509.Certificate
	Container   string // name of its key's container; empty: none is told
	Provider    string // as Key.Provider, if Container is told
}

// Store is where an account's keys and certificates are. A container is a key's name, one per certificate.
type Store interface {
	Open(container string) (Key, error) // ErrAbsent
	Make(container string) (Key, error) // opens it if it is there
	Import(container string, key crypto.PrivateKey) (Key, error)
	Delete(container string) error // no error if there is none
	Attach(certificate *x509.Certificate, container, label string) error
	AddIntermediate(certificate *x509.Certificate) (added bool, err error)
	RemoveIntermediate(certificate *x509.Certificate) error
	Installed() ([]Installed, error)
	Remove(certificate *x509.Certificate) error // no error if there is none; its key stays
}

// Fingerprint is a certificate's SHA-256, hexadecimal.
func Fingerprint(certificate *x509.Certificate) string {
	sum := sha256.Sum256(certificate.Raw)
	return hex.EncodeToString(sum[:])
}

// Find gives the certificate of that fingerprint; nil: the store has none.
func Find(store Store, fingerprint string) (*Installed, error) {
	all, err := store.Installed()
	if err != nil {
		return nil, err
	}
	for _, one := range all {
		if Fingerprint(one.Certificate) == fingerprint {
			return &one, nil
		}
	}
	return nil, nil
}

// Prove signs with the key that a certificate's place names, and verifies by the certificate.
func Prove(store Store, one Installed) error {
	key, err := store.Open(one.Container)
	if err != nil {
		return err
	}
	defer key.Close()
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(one.Certificate.PublicKey) {
		return fmt.Errorf("la clé « %s » n'est pas celle du certificat", one.Container)
	}
	digest := sha256.Sum256([]byte("creatic-poste"))
	signature, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return err
	}
	algorithm := x509.SHA256WithRSA
	if _, ok := key.Public().(*rsa.PublicKey); !ok {
		algorithm = x509.ECDSAWithSHA256
	}
	return one.Certificate.CheckSignature(algorithm, []byte("creatic-poste"), signature)
}

// TLS gives what crypto/tls needs to show a certificate with a key.
func TLS(key Key, chain ...*x509.Certificate) *tls.Certificate {
	shown := &tls.Certificate{PrivateKey: key, Leaf: chain[0]}
	for _, one := range chain {
		shown.Certificate = append(shown.Certificate, one.Raw)
	}
	if key.Provider() == "CryptoAPI" { // no PSS there: TLS 1.2 alone
		shown.SupportedSignatureAlgorithms = []tls.SignatureScheme{tls.PKCS1WithSHA256, tls.PKCS1WithSHA384, tls.PKCS1WithSHA512}
	}
	return shown
}
