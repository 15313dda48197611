package enrol

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"creatic-poste/internal/config"
	"creatic-poste/internal/door"
	"creatic-poste/internal/keys"
)

type authority struct {
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
}

func made(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := authority{key: key}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Racine"}, IsCA: true,
		BasicConstraintsValid: true, NotBefore: time.Now().AddDate(-2, 0, 0), NotAfter: time.Now().AddDate(2, 0, 0)}
	a.certificate = template
	a.certificate = a.sign(t, template, key.Public())
	return a
}

func (a authority) sign(t *testing.T, template *x509.Certificate, public crypto.PublicKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, public, a.key)
	if err != nil {
		t.Fatal(err)
	}
	found, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func (a authority) leaf(t *testing.T, wanted config.Certificate, public crypto.PublicKey, from, to time.Time) *x509.Certificate {
	return a.sign(t, &x509.Certificate{SerialNumber: big.NewInt(from.UnixNano()), Subject: subject(wanted), NotBefore: from,
		NotAfter: to, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, public)
}

var wanted = config.Certificate{Name: "secretaire", Holder: "Jeanne", Organization: "Commune", SIREN: "215902495",
	Usage: config.Authentication, Source: config.Issued}

func account(t *testing.T, a authority) *Account {
	t.Helper()
	folder := t.TempDir()
	state, err := ReadState(filepath.Join(folder, "etat.json"))
	if err != nil {
		t.Fatal(err)
	}
	return &Account{
		Config: &config.Config{Path: "poste.json", Computer: "PC", Door: &url.URL{Scheme: "https", Host: "127.0.0.1:1"},
			TdT: "https://tdt", Roots: []*x509.Certificate{a.certificate}, Certificates: []config.Certificate{wanted}},
		Store: keys.Folder{Path: folder}, State: state, Computer: "pc", Out: io.Discard,
	}
}

func TestOneThatExpiredAMonthAgoIsToldAndStays(t *testing.T) {
	ca := made(t)
	a := account(t, ca)
	key, err := a.Store.Make("creatic-x")
	if err != nil {
		t.Fatal(err)
	}
	leaf := ca.leaf(t, wanted, key.Public(), time.Now().AddDate(-1, 0, 0), time.Now().Add(-31*24*time.Hour-time.Minute))
	if err := a.Store.Attach(leaf, "creatic-x", "x"); err != nil {
		t.Fatal(err)
	}
	a.State.Of(wanted.Name).Current = &Held{Container: "creatic-x", Fingerprint: keys.Fingerprint(leaf)}
	told := a.Renew(context.Background(), wanted)
	if told.Cause != "expire" || !strings.Contains(told.Message, "il y a 31 jours") {
		t.Error(told)
	}
	all := a.Session(context.Background()) // and the file has no token
	if all[0].Cause != "sans_jeton" || Code(all) != 1 {
		t.Error(all)
	}
	if held, err := a.Holds(wanted); err != nil || held == nil {
		t.Error(held, err)
	}
}

func TestAnAnswerThatIsNotWhatWasAskedIsRefused(t *testing.T) {
	ca, stranger, now := made(t), made(t), time.Now()
	a := account(t, ca)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other := wanted
	other.Holder = "Paul"
	public := key.Public()
	for name, leaf := range map[string]*x509.Certificate{
		"":                   ca.leaf(t, wanted, public, now.Add(-time.Hour), now.Add(time.Hour)),
		"une autre clé":      ca.leaf(t, wanted, ca.key.Public(), now.Add(-time.Hour), now.Add(time.Hour)),
		"au nom de":          ca.leaf(t, other, public, now.Add(-time.Hour), now.Add(time.Hour)),
		"certificate signed": stranger.leaf(t, wanted, public, now.Add(-time.Hour), now.Add(time.Hour)),
		"retarde":            ca.leaf(t, wanted, public, now.Add(time.Hour), now.Add(2*time.Hour)),
		"expired":            ca.leaf(t, wanted, public, now.Add(-2*time.Hour), now.Add(-time.Hour)),
	} {
		answer := &door.Answer{Certificate: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw}))}
		_, _, err := Verify(a.Config, wanted, public, answer, now)
		if (err == nil) != (name == "") || (err != nil && !strings.Contains(err.Error(), name)) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, _, err := Verify(a.Config, wanted, public, &door.Answer{Certificate: "x"}, now); err == nil {
		t.Error("no PEM was taken")
	}
}

func TestAProvidersSIRENIsReadAsTheyWriteIt(t *testing.T) {
	for text, found := range map[string]string{"0002 215902495": "215902495", "0002 21590249500012": "215902495", "0002 12": "",
		"Service": ""} {
		certificate := &x509.Certificate{Subject: pkix.Name{Names: []pkix.AttributeTypeAndValue{{Type: []int{2, 5, 4, 11}, Value: text}}}}
		if strings.Join(SIRENs(certificate), "") != found {
			t.Error(text, SIRENs(certificate))
		}
	}
	certificate := &x509.Certificate{Subject: pkix.Name{Names: []pkix.AttributeTypeAndValue{{Type: identifierType, Value: "NTRFR-215902495"}}}}
	if strings.Join(SIRENs(certificate), "") != "215902495" {
		t.Error(SIRENs(certificate))
	}
}
