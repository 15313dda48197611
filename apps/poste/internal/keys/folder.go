package keys

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"creatic-poste/internal/durable"
)

// Folder keeps keys and certificates as PEM files that the account alone reads (0600).
type Folder struct{ Path string }

type folderKey struct{ crypto.Signer }

func (folderKey) Provider() string { return "dossier" }
func (folderKey) Close() error     { return nil }

func (f Folder) file(container, kind string) string {
	return filepath.Join(f.Path, filepath.Base(container)+kind)
}

// Open reads a key.
func (f Folder) Open(container string) (Key, error) {
	content, err := os.ReadFile(f.file(container, ".key"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrAbsent
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, fmt.Errorf("%s est abîmé", f.file(container, ".key"))
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, ErrUnsupported
	}
	return folderKey{signer}, nil
}

// Make opens a key, or makes it.
func (f Folder) Make(container string) (Key, error) {
	if key, err := f.Open(container); !errors.Is(err, ErrAbsent) {
		return key, err
	}
	key, err := rsa.GenerateKey(rand.Reader, Bits)
	if err != nil {
		return nil, err
	}
	return f.Import(container, key)
}

// Import writes a key.
func (f Folder) Import(container string, key crypto.PrivateKey) (Key, error) {
	content, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, ErrUnsupported
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: content})
	if err := durable.Write(f.file(container, ".key"), text, 0o600); err != nil {
		return nil, err
	}
	return f.Open(container)
}

// Delete removes a key.
func (f Folder) Delete(container string) error { return absent(os.Remove(f.file(container, ".key"))) }

// Attach writes a certificate beside its key.
func (f Folder) Attach(certificate *x509.Certificate, container, _ string) error {
	return durable.Write(f.file(container, ".pem"), encode(certificate), 0o600)
}

// AddIntermediate writes an authority's certificate.
func (f Folder) AddIntermediate(certificate *x509.Certificate) (bool, error) {
	path := f.file(Fingerprint(certificate), ".autorite")
	if _, err := os.Stat(path); err == nil {
		return false, nil
	}
	return true, durable.Write(path, encode(certificate), 0o600)
}

// RemoveIntermediate removes an authority's certificate.
func (f Folder) RemoveIntermediate(certificate *x509.Certificate) error {
	return absent(os.Remove(f.file(Fingerprint(certificate), ".autorite")))
}

// Installed reads the folder's certificates.
func (f Folder) Installed() ([]Installed, error) {
	paths, err := filepath.Glob(filepath.Join(f.Path, "*.pem"))
	if err != nil {
		return nil, err
	}
	var all []Installed
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		block, _ := pem.Decode(content)
		if block == nil {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			continue
		}
		container := strings.TrimSuffix(filepath.Base(path), ".pem")
		all = append(all, Installed{certificate, container, "dossier"})
	}
	return all, nil
}

// Remove removes a certificate.
func (f Folder) Remove(certificate *x509.Certificate) error {
	all, err := f.Installed()
	if err != nil {
		return err
	}
	for _, one := range all {
		if bytes.Equal(one.Certificate.Raw, certificate.Raw) {
			if err := absent(os.Remove(f.file(one.Container, ".pem"))); err != nil {
				return err
			}
		}
	}
	return nil
}

func encode(certificate *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})
}

func absent(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
