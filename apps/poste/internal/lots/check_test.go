package lots

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"
)

const site = "https://parapheur.example.test"

func TestOnlyAWholeAddressOfAKnownSiteIsRead(t *testing.T) {
	secret := strings.Repeat("aB3_-", 8) + "abc"
	lot := "0123abcd-0123-4abc-8def-0123456789ab"
	good := "creatic:signer?site=https%3A%2F%2Fparapheur.example.test&lot=" + lot + "&secret=" + secret
	got, err := Parse(good, []string{"https://autre.example.test", site})
	if err != nil || got.Site != site || got.Lot != lot || got.secret != secret {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, wrong := range []string{
		"", "creatic:", "creatic:signer", "creatic:signer?", good + "&lot=" + lot, good + "&poste=x", good + "#x", good + "&%zz",
		strings.Replace(good, "creatic:", "CREATIC:", 1), strings.Replace(good, "signer", "installer", 1),
		strings.Replace(good, "signer?", "//signer?", 1), strings.Replace(good, lot, strings.ToUpper(lot), 1),
		strings.Replace(good, lot, "../../"+lot, 1), strings.Replace(good, secret, secret[1:], 1),
		strings.Replace(good, secret, secret+"%00", 1), strings.Replace(good, "&", ";", 1), good + strings.Repeat("x", 1000),
		strings.Replace(good, "%2Fparapheur", "%2Fmechant", 1), strings.Replace(good, "https", "http", 1),
		strings.Replace(good, ".test", ".test%3A8443", 1), strings.Replace(good, ".test", ".test%2F", 1),
		strings.Replace(good, "parapheur", "parapheur.example.test%40mechant", 1), strings.Replace(good, "parapheur", "PARAPHEUR", 1),
		strings.Replace(good, ".test", ".test.mechant.test", 1), strings.Replace(good, ".test", ".test%0A", 1),
	} {
		if got, err := Parse(wrong, []string{site}); err == nil {
			t.Errorf("%q is read: %+v", wrong, got)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("%q: the secret is told", wrong)
		}
	}
	if _, err := Parse(good, nil); err == nil {
		t.Error("a PC without site signs")
	}
}

func certificate(t *testing.T, key crypto.Signer, name string) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: new(big.Int).Lsh(big.NewInt(0x9bcd), 140),
		Subject:   pkix.Name{Country: []string{"FR"}, Organization: []string{"Commune de Gondecourt"}, CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func keysOf(t *testing.T) (*rsa.PrivateKey, *ecdsa.PrivateKey) {
	t.Helper()
	byRSA, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	byEC, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return byRSA, byEC
}

// signedInfo is what lxml writes for a bordereau.
func signedInfo(family, part string) string {
	digest := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	return fmt.Sprintf(`<ds:SignedInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:CanonicalizationMethod><ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#%s-sha256"></ds:SignatureMethod><ds:Reference URI="#%s"><ds:Transforms><ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"></ds:Transform><ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:Transform></ds:Transforms><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"></ds:DigestMethod><ds:DigestValue>%s</ds:DigestValue></ds:Reference><ds:Reference Type="http://uri.etsi.org/01903/v1.2.2#SignedProperties" URI="#%s_SIG_1_SP"><ds:Transforms><ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:Transform></ds:Transforms><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"></ds:DigestMethod><ds:DigestValue>%s</ds:DigestValue></ds:Reference></ds:SignedInfo>`, family, part, digest, part, digest)
}

func TestOnlySignedAttributesOfItsCertificateAreSigned(t *testing.T) {
	byRSA, byEC := keysOf(t)
	mine, other := certificate(t, byRSA, "Claire Dubois"), certificate(t, byRSA, "Anne Bertrand")
	digest := sha256.Sum256([]byte("document"))
	good, err := attributes(digest[:], mine)
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(PAdES, good, mine); err != nil {
		t.Fatal(err)
	}
	if err := Check(PAdES, good, other); err == nil {
		t.Error("another certificate's attributes are signed")
	}
	if err := Check(XAdES, good, mine); err == nil {
		t.Error("a PDF's attributes are signed for a flow")
	}
	for place := range good { // each octet counts, but for the digest's
		changed := bytes.Clone(good)
		changed[place] ^= 1
		if inDigest := bytes.Index(good, digest[:]); place >= inDigest && place < inDigest+32 {
			continue
		}
		if Check(PAdES, changed, mine) == nil {
			t.Errorf("octet %d may be anything", place)
		}
	}
	signingTime, _ := asn1.Marshal(attribute{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 5}, []asn1.RawValue{{Tag: asn1.TagUTCTime, Bytes: []byte("261202120000Z")}}})
	var set asn1.RawValue
	if _, err := asn1.Unmarshal(good, &set); err != nil {
		t.Fatal(err)
	}
	more, _ := asn1.Marshal(asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: append(signingTime, set.Bytes...)})
	implicit := append([]byte{0xa0}, good[1:]...)
	verify := append(bytes.Repeat([]byte{0x20}, 64), "TLS 1.3, client CertificateVerify\x00"...)
	for name, wrong := range map[string][]byte{
		"nothing": nil, "a digest": digest[:], "a TLS login": append(verify, digest[:]...), "one more attribute": more,
		"[0] IMPLICIT": implicit, "what follows": append(bytes.Clone(good), 0), "cut": good[:len(good)-1], "a certificate": mine.RawTBSCertificate,
		"a mail": []byte("Content-Type: text/plain\r\n\r\nJe soussignée"),
	} {
		for _, format := range []string{PAdES, XAdES, ""} {
			if Check(format, wrong, mine) == nil {
				t.Errorf("%s is signed as %q", name, format)
			}
		}
	}
	ec := certificate(t, byEC, "Claire Dubois")
	if made, _ := attributes(digest[:], ec); Check(PAdES, made, ec) != nil {
		t.Error("an EC key's attributes are refused")
	}
}

func TestOnlyTheSignedInfoOfAFlowIsSigned(t *testing.T) {
	byRSA, byEC := keysOf(t)
	mine, ec := certificate(t, byRSA, "Claire Dubois"), certificate(t, byEC, "Claire Dubois")
	good := signedInfo("rsa", "Bordereau_é1")
	for _, one := range []struct {
		text  string
		whose *x509.Certificate
	}{{good, mine}, {signedInfo("ecdsa", "B1"), ec}} {
		if err := Check(XAdES, []byte(one.text), one.whose); err != nil {
			t.Fatalf("%s: %v", one.text, err)
		}
	}
	replace := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	for name, wrong := range map[string]string{
		"another key's": signedInfo("ecdsa", "B1"), "SHA-1": replace("xmldsig-more#rsa-sha256", "xmldsig#rsa-sha1"),
		"a comment": replace("<ds:Transforms>", "<!-- --><ds:Transforms>"), "a line": replace("><", ">\n<"), "after": good + "\n",
		"another place": replace(`URI="#Bordereau_é1"`, `URI="https://mechant.example.test/"`),
		"no properties": good[:strings.Index(good, "<ds:Reference Type")] + "</ds:SignedInfo>",
		"an empty URI":  replace(`URI="#Bordereau_é1"`, `URI=""`), "XAdES of another time": replace("v1.2.2", "v1.1.1"),
		"XPath": replace("2000/09/xmldsig#enveloped-signature", "2002/06/xmldsig-filter2"), "an entity": replace("Bordereau", "&#66;"),
		"no UTF-8": replace("é", "\xe9"), "itself": replace(`URI="#Bordereau_é1"`, `URI="#Bordereau_é1_SIG_1"`),
		"a prefix": strings.ReplaceAll(good, "ds:", "dsig:"), "a third reference": replace("</ds:SignedInfo>", "<ds:Reference/></ds:SignedInfo>"),
	} {
		if Check(XAdES, []byte(wrong), mine) == nil {
			t.Errorf("%s is signed", name)
		}
	}
}
