package machine

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"creatic-poste/internal/durable"
	"creatic-poste/internal/policy"
)

// files puts texts and policies.json: what both systems have.
type files struct{}

func (files) read(item Item) (*Item, error) {
	content, err := os.ReadFile(item.Where)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	found := item
	if item.Kind == "text" {
		found.Data = string(content)
		return &found, nil
	}
	document, err := policy.Open(content)
	if err != nil {
		return nil, fmt.Errorf("n'est pas lisible (%w) : laissé tel quel, le navigateur l'ignore ; corrigez-le, puis recommencez", err)
	}
	if found.Data = document.Get(item.Name); found.Data == "" {
		return nil, nil
	}
	return &found, nil
}

func (files) above(item Item) ([]Item, error) {
	var missing []Item
	if _, err := os.Stat(item.Where); errors.Is(err, os.ErrNotExist) && item.Kind == "policy" {
		missing = append(missing, Item{Kind: "file", Where: item.Where})
	}
	for folder := filepath.Dir(item.Where); ; folder = filepath.Dir(folder) {
		if _, err := os.Stat(folder); err == nil || folder == filepath.Dir(folder) {
			break
		}
		missing = append([]Item{{Kind: "folder", Where: folder}}, missing...)
	}
	return missing, nil
}

func (files) put(item Item) error {
	switch item.Kind {
	case "folder":
		return os.Mkdir(item.Where, 0o755)
	case "file":
		return durable.Write(item.Where, []byte("{}\n"), 0o644)
	case "text":
		return durable.Write(item.Where, []byte(item.Data), 0o644)
	}
	return edit(item.Where, func(document *policy.Document) error { return document.Set(item.Name, item.Data) })
}

func (files) take(item Item) error {
	switch item.Kind {
	case "folder":
		entries, err := os.ReadDir(item.Where)
		if err != nil || len(entries) > 0 {
			return absent(err)
		}
		return os.Remove(item.Where)
	case "file":
		content, err := os.ReadFile(item.Where)
		if err != nil {
			return absent(err)
		}
		if document, err := policy.Open(content); err != nil || !document.Empty() {
			return nil // another has used it since
		}
		return absent(os.Remove(item.Where))
	case "text":
		return absent(os.Remove(item.Where))
	}
	return edit(item.Where, func(document *policy.Document) error { document.Remove(item.Name); return nil })
}

func edit(path string, change func(*policy.Document) error) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	document, err := policy.Open(content)
	if err != nil {
		return err
	}
	if err := change(document); err != nil {
		return err
	}
	return durable.Write(path, document.Content(), 0o644)
}

func absent(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func pemOf(certificate *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw}))
}

func authorityOf(text string) (*x509.Certificate, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("no PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}

func authorityName(text string) string {
	found, err := authorityOf(text)
	if err != nil {
		return "?"
	}
	return found.Subject.CommonName
}

func selfSigned(certificate *x509.Certificate) bool {
	return bytes.Equal(certificate.RawIssuer, certificate.RawSubject)
}
