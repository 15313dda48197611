package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"
)

func root(t *testing.T, isCA bool) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Racine"}, IsCA: isCA,
		BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func good(t *testing.T) map[string]any {
	return map[string]any{
		"groupement": "G", "commune": "Gondecourt", "siren": "215902495", "poste": "gondecourt-pc", "nom": "PC",
		"enrolement": "https://enrolement.example.test", "jeton": strings.Repeat("A", 52), "jeton_fin": "2026-12-01T00:00:00Z",
		"racines": []any{root(t, true)}, "autorites": []any{}, "tdt_autorites": []any{}, "tdt": "https://tdt.example.test/",
		"sites": []any{"https://parapheur.example.test"}, "certificats": []any{certificate(nil)},
	}
}

func certificate(change map[string]any) map[string]any {
	one := map[string]any{"nom": "secretaire", "titulaire": "Jeanne", "organisation": "Commune", "siren": "215902495",
		"usage": "authentification", "source": "groupement"}
	for key, value := range change {
		one[key] = value
	}
	return one
}

func parsed(t *testing.T, value map[string]any) (*Config, error) {
	t.Helper()
	content, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return Parse("poste.json", content)
}

func TestAGoodFileIsRead(t *testing.T) {
	c, err := parsed(t, good(t))
	if err != nil {
		t.Fatal(err)
	}
	if c.TdT != "https://tdt.example.test" || len(c.Certificates) != 1 || len(c.Faulty) != 0 {
		t.Errorf("%+v", c)
	}
}

func TestABadFieldIsNamed(t *testing.T) {
	leaf := root(t, false)
	for name, change := range map[string]map[string]any{
		"siren":         {"siren": "12"},
		"commune":       {"commune": " "},
		"nom":           {"nom": ""},
		"enrolement":    {"enrolement": "http://enrolement.example.test"},
		"tdt":           {"tdt": "https://tdt.example.test/page"},
		"sites[0]":      {"sites": []any{"parapheur"}},
		"jeton":         {"jeton": "secret"},
		"jeton_fin":     {"jeton_fin": "demain"},
		"racines":       {"racines": []any{}},
		"racines[0]":    {"racines": []any{leaf}},
		"autorites[0]":  {"autorites": []any{"-----"}},
		"champ poste":   {"poste": 3},
		"champ racines": {"racines": "texte"},
	} {
		value := good(t)
		for field, wrong := range change {
			value[field] = wrong
		}
		_, err := parsed(t, value)
		if err == nil || !strings.Contains(err.Error(), name) || !strings.HasPrefix(err.Error(), "poste.json") {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the token is told: %v", err)
		}
	}
	if _, err := Parse("poste.json", []byte("{pas")); err == nil || !strings.Contains(err.Error(), "n'est pas du JSON") {
		t.Error(err)
	}
}

func TestABadCertificateKeepsNoOther(t *testing.T) {
	for field, wrong := range map[string]any{"nom": "Pas Bon", "titulaire": "", "organisation": "", "siren": "1", "usage": "tout",
		"source": "ciel", "bibliotheque": 3} {
		value := good(t)
		value["certificats"] = []any{certificate(map[string]any{field: wrong}), certificate(map[string]any{"nom": "deux"}),
			certificate(map[string]any{"nom": "deux"})}
		c, err := parsed(t, value)
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Certificates) != 1 || len(c.Faulty) != 2 || !strings.Contains(c.Faulty[0].Message, field) {
			t.Errorf("%s: %+v", field, c.Faulty)
		}
	}
}
