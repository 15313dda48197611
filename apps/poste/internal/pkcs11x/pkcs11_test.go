//go:build linux

package pkcs11x

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

const (
	softHSM = "/usr/lib/softhsm/libsofthsm2.so"
	pin     = "271828"
)

func run(t *testing.T, name string, arguments ...string) {
	t.Helper()
	if told, err := exec.Command(name, arguments...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", name, err, told)
	}
}

// token makes one with a key and its certificate, by others' tools.
func token(t *testing.T, label string, key crypto.Signer, more ...string) *x509.Certificate {
	t.Helper()
	for _, tool := range []string{"softhsm2-util", "pkcs11-tool"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("needs packages softhsm2 and opensc")
		}
	}
	folder := t.TempDir()
	template := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "Claire Dubois"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	keyFile, certificateFile := filepath.Join(folder, "key.pem"), filepath.Join(folder, "cert.der")
	_ = os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600)
	_ = os.WriteFile(certificateFile, der, 0o600)
	run(t, "softhsm2-util", "--init-token", "--free", "--label", label, "--pin", pin, "--so-pin", "0000")
	common := []string{"--module", softHSM, "--token-label", label, "--login", "--pin", pin, "--id", "01", "--label", "x"}
	run(t, "pkcs11-tool", append(append(common, "--write-object", keyFile, "--type", "privkey"), more...)...)
	run(t, "pkcs11-tool", append(common, "--write-object", certificateFile, "--type", "cert")...)
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func folder(t *testing.T) string {
	t.Helper()
	tokens := t.TempDir()
	configuration := filepath.Join(t.TempDir(), "softhsm2.conf")
	_ = os.WriteFile(configuration, []byte("directories.tokendir = "+tokens+"\nlog.level = ERROR\n"), 0o600)
	t.Setenv("SOFTHSM2_CONF", configuration)
	return tokens
}

func open(t *testing.T) *Module {
	t.Helper()
	m, err := Open(softHSM)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func TestATokenSignsAsItsCertificateSays(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range []struct {
		name string
		key  crypto.Signer
		how  x509.SignatureAlgorithm
		more []string
	}{
		{"rsa", rsaKey, x509.SHA256WithRSA, nil},
		{"ecdsa", ecKey, x509.ECDSAWithSHA256, nil},
		{"asked each time", rsaKey, x509.SHA256WithRSA, []string{"--always-auth"}},
	} {
		t.Run(one.name, func(t *testing.T) {
			folder(t)
			wanted := token(t, "mairie", one.key, one.more...)
			m := open(t)
			found, err := m.Token("mairie")
			if err != nil {
				t.Fatal(err)
			}
			defer found.Close()
			all, err := found.Certificates()
			if err != nil || len(all) != 1 || !all[0].Equal(wanted) {
				t.Fatalf("certificates: %v, %v", all, err)
			}
			if _, err := found.Key(wanted); !errors.Is(err, ErrNoKey) {
				t.Fatalf("a key without its PIN: %v", err)
			}
			if err := found.Login([]byte(pin)); err != nil {
				t.Fatal(err)
			}
			signer, err := found.Key(wanted)
			if err != nil {
				t.Fatal(err)
			}
			if signer.(*key).always != (one.more != nil) {
				t.Fatal("CKA_ALWAYS_AUTHENTICATE is not read")
			}
			for _, content := range []string{"un", "deux"} {
				digest := sha256.Sum256([]byte(content))
				made, err := signer.Sign(rand.Reader, digest[:], crypto.SHA256)
				if err != nil {
					t.Fatal(err)
				}
				if err := wanted.CheckSignature(one.how, []byte(content), made); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := signer.Sign(rand.Reader, make([]byte, 36), crypto.MD5SHA1); err == nil {
				t.Fatal("a login of another time is signed")
			}
		})
	}
}

func TestAWrongPINIsToldAndTheTokenThatIsNotThere(t *testing.T) {
	tokens := folder(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	wanted := token(t, "mairie", key)
	m := open(t)
	if _, err := m.Token("autre"); !errors.Is(err, ErrNoToken) {
		t.Fatalf("another token: %v", err)
	}
	found, err := m.Token("mairie")
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	if err := found.Login([]byte("314159")); !errors.Is(err, ErrWrongPIN) {
		t.Fatalf("wrong PIN: %v", err)
	}
	if err := found.Login([]byte(pin)); err != nil {
		t.Fatal(err)
	}
	signer, err := found.Key(wanted)
	if err != nil {
		t.Fatal(err)
	}
	inside, _ := filepath.Glob(filepath.Join(tokens, "*"))
	for _, one := range inside {
		_ = os.RemoveAll(one)
	}
	digest := sha256.Sum256(nil)
	if _, err := signer.Sign(rand.Reader, digest[:], crypto.SHA256); err == nil {
		t.Fatal("a token that is gone signs")
	}
}

func TestALibraryIsNamedByItsWholePath(t *testing.T) {
	for _, path := range []string{"libsofthsm2.so", "./x.so", "", "/etc/hostname"} {
		if _, err := Open(path); err == nil {
			t.Fatalf("%s is opened", path)
		}
	}
}
