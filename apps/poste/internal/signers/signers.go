// Package signers gives what can sign on a PC: the account's keys, a provider's .p12, a token.
package signers

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"creatic-poste/internal/config"
	"creatic-poste/internal/confirm"
	"creatic-poste/internal/enrol"
	"creatic-poste/internal/keys"
	"creatic-poste/internal/pkcs11x"
	"creatic-poste/internal/refusal"
)

// Signer is a certificate whose key can sign, or a file that has both.
type Signer interface {
	// Label is what a person chooses by: whose it is, and where its key is.
	Label() string
	// Certificate gives it, with those above it.
	Certificate(face confirm.Face) ([]*x509.Certificate, error)
	// Key gives its key; it may ask for a PIN, once.
	Key(face confirm.Face) (crypto.Signer, error)
	Close()
}

// Of gives what the account has for its certificates of signature; the second list says why the others cannot serve.
func Of(a *enrol.Account, now time.Time) ([]Signer, []string) {
	var found []Signer
	var lacking []string
	modules := map[string]*pkcs11x.Module{}
	for _, wanted := range a.Config.Certificates {
		if wanted.Usage != config.Signature {
			continue
		}
		var made []Signer
		var err error
		if wanted.Source == config.Token {
			made, err = ofToken(wanted, modules, a.Config.Issuers, now)
		} else {
			made, err = ofStore(a, wanted, now)
		}
		found = append(found, made...)
		if err != nil {
			lacking = append(lacking, fmt.Sprintf("%s (%s) : %v", wanted.Name, wanted.Holder, err))
		}
	}
	return found, lacking
}

// fits says why a certificate cannot sign now; nil: it can.
func fits(certificate *x509.Certificate, now time.Time) error {
	if now.After(certificate.NotAfter) {
		return fmt.Errorf("il a expiré le %s", day(certificate.NotAfter))
	}
	if now.Before(certificate.NotBefore) {
		return fmt.Errorf("il ne vaut qu'à partir du %s : l'horloge de ce PC retarde peut-être", day(certificate.NotBefore))
	}
	return nil
}

func label(certificate *x509.Certificate, where string) string {
	name := certificate.Subject.CommonName
	if len(certificate.Subject.Organization) > 0 {
		name += ", " + certificate.Subject.Organization[0]
	}
	return confirm.Clean(fmt.Sprintf("%s, jusqu'au %s (%s)", name, day(certificate.NotAfter), where), 200)
}

func day(instant time.Time) string { return instant.Local().Format("02/01/2006") }

// chain is a certificate and those of others that lead from it up, without the root.
func chain(leaf *x509.Certificate, others ...*x509.Certificate) []*x509.Certificate {
	found := []*x509.Certificate{leaf}
	for len(found) <= len(others) {
		last := found[len(found)-1]
		var above *x509.Certificate
		for _, one := range others {
			if one.IsCA && bytes.Equal(one.RawSubject, last.RawIssuer) && last.CheckSignatureFrom(one) == nil {
				above = one
				break
			}
		}
		if above == nil || bytes.Equal(above.RawSubject, above.RawIssuer) {
			break
		}
		found = append(found, above)
	}
	return found
}

// -- the account's own keys

type stored struct {
	store keys.Store
	held  keys.Installed
	chain []*x509.Certificate
	key   keys.Key
}

func ofStore(a *enrol.Account, wanted config.Certificate, now time.Time) ([]Signer, error) {
	held, err := a.Holds(wanted)
	if err != nil {
		return nil, err
	}
	if held == nil && wanted.Source == config.File {
		return []Signer{&file{wanted: wanted, issuers: a.Config.Issuers}}, nil
	}
	if held == nil {
		return nil, errors.New("il n'est pas installé : creatic-poste session")
	}
	if err := fits(held.Certificate, now); err != nil {
		return nil, err
	}
	above := a.Config.Issuers
	for _, text := range a.State.Of(wanted.Name).Current.Above {
		if block, _ := pem.Decode([]byte(text)); block != nil {
			if one, err := x509.ParseCertificate(block.Bytes); err == nil {
				above = append(above[:len(above):len(above)], one)
			}
		}
	}
	return []Signer{&stored{store: a.Store, held: *held, chain: chain(held.Certificate, above...)}}, nil
}

func (s *stored) Label() string { return label(s.held.Certificate, "clé de ce PC") }

func (s *stored) Certificate(confirm.Face) ([]*x509.Certificate, error) { return s.chain, nil }

func (s *stored) Key(confirm.Face) (crypto.Signer, error) {
	var err error
	s.key, err = s.store.Open(s.held.Container)
	if err != nil {
		return nil, refusal.New("cle", "La clé du certificat ne s'ouvre plus (%v) : prévenez le groupement.", err)
	}
	return s.key, nil
}

func (s *stored) Close() {
	if s.key != nil {
		_ = s.key.Close()
	}
}

// -- a provider's .p12, which stays where it is

type file struct {
	wanted  config.Certificate
	issuers []*x509.Certificate
	key     crypto.Signer
}

func (f *file) Label() string {
	return confirm.Clean(fmt.Sprintf("%s, %s (fichier .p12 à choisir)", f.wanted.Holder, f.wanted.Organization), 200)
}

func (f *file) Certificate(face confirm.Face) ([]*x509.Certificate, error) {
	path, err := face.File("Le fichier .p12 de " + f.wanted.Holder)
	if err != nil {
		return nil, err
	}
	password, err := face.Secret("Mot de passe de ce fichier")
	if err != nil {
		return nil, err
	}
	defer clear(password)
	key, leaf, above, err := enrol.OpenFile(path, string(password), f.wanted, time.Now())
	if err != nil {
		return nil, err
	}
	f.key = key
	return chain(leaf, append(above, f.issuers...)...), nil
}

func (f *file) Key(confirm.Face) (crypto.Signer, error) { return f.key, nil }

func (f *file) Close() { f.key = nil }

// -- a token

type token struct {
	token       *pkcs11x.Token
	certificate *x509.Certificate
	chain       []*x509.Certificate
}

// ofToken gives each certificate of signature of a token.
func ofToken(wanted config.Certificate, modules map[string]*pkcs11x.Module, issuers []*x509.Certificate, now time.Time) ([]Signer, error) {
	module := modules[wanted.Library]
	if module == nil {
		var err error
		if module, err = pkcs11x.Open(wanted.Library); err != nil {
			return nil, fmt.Errorf("le programme du jeton, %s, ne s'ouvre pas (%v) : installez celui du prestataire", wanted.Library, err)
		}
		modules[wanted.Library] = module
	}
	place, err := module.Token(wanted.Token)
	if errors.Is(err, pkcs11x.ErrNoToken) {
		return nil, errors.New("le jeton n'est pas branché : branchez-le, puis recommencez")
	}
	if err != nil {
		return nil, fmt.Errorf("le jeton ne se lit pas (%v)", err)
	}
	if place.Locked {
		return nil, errors.New("le PIN du jeton est bloqué : voyez avec son prestataire")
	}
	all, err := place.Certificates()
	if err != nil {
		return nil, fmt.Errorf("le jeton ne se lit pas (%v)", err)
	}
	var found []Signer
	why := errors.New("le jeton n'a pas de certificat de signature")
	for _, one := range all {
		if one.IsCA || one.KeyUsage != 0 && one.KeyUsage&x509.KeyUsageContentCommitment == 0 {
			continue // an authority's, or one that only opens sessions
		}
		if other := fits(one, now); other != nil {
			why = other
			continue
		}
		found = append(found, &token{place, one, chain(one, append(all, issuers...)...)})
	}
	if len(found) == 0 {
		return nil, why
	}
	return found, nil
}

func (t *token) Label() string { return label(t.certificate, "jeton « "+t.token.Label+" »") }

func (t *token) Certificate(confirm.Face) ([]*x509.Certificate, error) { return t.chain, nil }

func (t *token) Key(face confirm.Face) (crypto.Signer, error) {
	var pin []byte
	if t.token.PINPad {
		face.Progress("Tapez votre PIN sur le lecteur.")
	} else {
		prompt := "PIN du jeton « " + t.token.Label + " »"
		if t.token.FinalTry {
			prompt += " (dernier essai : un PIN faux bloque le jeton)"
		}
		var err error
		if pin, err = face.Secret(confirm.Clean(prompt, 200)); err != nil {
			return nil, err
		}
		defer clear(pin)
	}
	err := t.token.Login(pin)
	switch {
	case errors.Is(err, pkcs11x.ErrWrongPIN):
		return nil, refusal.New("pin", "Ce PIN est faux ; il n'a pas été essayé de nouveau, car un jeton se bloque après "+
			"quelques erreurs. Vérifiez-le avant de recommencer depuis le parapheur.")
	case errors.Is(err, pkcs11x.ErrLocked):
		return nil, refusal.New("pin_bloque", "Le PIN du jeton est bloqué : voyez avec son prestataire.")
	case errors.Is(err, pkcs11x.ErrCancelled):
		return nil, confirm.Abandoned()
	case err != nil:
		return nil, refusal.New("jeton", "Le jeton ne répond pas (%v) : rebranchez-le, puis recommencez depuis le parapheur.", err)
	}
	key, err := t.token.Key(t.certificate)
	if err != nil {
		return nil, refusal.New("jeton", "Le jeton n'ouvre pas la clé de ce certificat (%v) : voyez avec son prestataire.", err)
	}
	return key, nil
}

func (t *token) Close() { t.token.Close() }
