package facts

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"creatic-poste/internal/config"
	"creatic-poste/internal/enrol"
)

func TestAFactThatFailsSaysWhyAndIsHarmless(t *testing.T) {
	for name, read := range map[string]func() (any, error){
		"an error": func() (any, error) { return nil, errors.New("pas\x1b[2J là\n" + strings.Repeat("é", 1000)) },
		"a panic":  func() (any, error) { panic("pas\x07 là") },
	} {
		found := guarded(read)
		if found.Value != nil || !strings.HasPrefix(found.Unread, "pas") || strings.ContainsAny(found.Unread, "\x1b\x07\n") ||
			len([]rune(found.Unread)) > longest {
			t.Errorf("%s: %+v", name, found)
		}
	}
}

func TestEveryFactIsAValueOrAReason(t *testing.T) {
	for name, read := range own() {
		content, err := json.Marshal(guarded(read))
		var found map[string]any
		if err == nil {
			err = json.Unmarshal(content, &found)
		}
		if err != nil || len(found) != 1 {
			t.Errorf("%s: %s, %v", name, content, err)
		}
	}
}

type signer struct{ *ecdsa.PrivateKey }

func (signer) Provider() string { return "dossier" }
func (signer) Close() error     { return nil }

func TestWhatIsSignedIsBoundToThePCAndBounded(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	account := &enrol.Account{Config: &config.Config{PC: "gondecourt-pc"}, Computer: "pc"}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(255), PublicKey: key.Public(), PublicKeyAlgorithm: x509.ECDSA}
	now := time.Date(2026, 12, 2, 9, 0, 0, 0, time.UTC)
	found := Facts{"disque": {Value: disk{1, 2}}, "horloge": {Unread: "x"}, "navigateurs": {Value: strings.Repeat("x", Largest)}}
	signed, err := Sign(signer{key}, leaf, account, System, 7, found, now)
	if err != nil {
		t.Fatal(err)
	}
	var read map[string]any
	if err := json.Unmarshal([]byte(signed.Text), &read); err != nil {
		t.Fatal(err)
	}
	if read["poste"] != "gondecourt-pc" || read["numero"] != 7.0 || read["fait"] != "2026-12-02T09:00:00Z" ||
		read["serie"] != strings.Repeat("0", 38)+"ff" || len(signed.Text) > Largest || !strings.Contains(signed.Text, `"libre":1`) ||
		!strings.Contains(signed.Text, "trop long") {
		t.Error(signed.Text)
	}
	signature, err := base64.StdEncoding.DecodeString(signed.Signature)
	if err == nil {
		err = leaf.CheckSignature(x509.ECDSAWithSHA256, []byte(signed.Text), signature)
	}
	if err != nil {
		t.Error(err)
	}
}

func TestTheHourIsWithinItsBoundsAndNotAlwaysTheSame(t *testing.T) {
	now := time.Date(2026, 12, 2, 9, 0, 0, 0, time.UTC)
	for name, one := range map[string]struct {
		last     time.Time
		from, to time.Time
	}{
		"never":         {time.Time{}, now.Add(first), now.Add(firstTo)},
		"of the future": {now.Add(time.Hour), now.Add(first), now.Add(firstTo)},
		"a week ago":    {now.AddDate(0, 0, -7), now.Add(first), now.Add(firstTo)},
		"an hour ago":   {now.Add(-time.Hour), now.Add(daily - time.Hour), now.Add(dailyTo - time.Hour)},
	} {
		seen := map[time.Time]bool{}
		for range 20 {
			next := Next(one.last, now)
			if next.Before(one.from) || next.After(one.to) {
				t.Errorf("%s: %v", name, next)
			}
			seen[next] = true
		}
		if len(seen) < 2 {
			t.Errorf("%s: always %v", name, seen)
		}
	}
}
