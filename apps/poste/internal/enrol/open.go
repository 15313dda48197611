package enrol

import (
	"crypto"
	"crypto/x509"
	"time"

	"creatic-poste/internal/config"
)

// OpenFile reads a provider's .p12 and puts nothing anywhere: its key, its certificate, those above it.
func OpenFile(path, password string, wanted config.Certificate, now time.Time) (crypto.Signer, *x509.Certificate, []*x509.Certificate, error) {
	private, leaf, above, err := readFile(path, password, wanted, now)
	if err != nil {
		return nil, nil, nil, err
	}
	return private.(crypto.Signer), leaf, above, nil // readFile took it as one
}
