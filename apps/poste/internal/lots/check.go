package lots

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"math/big"
	"regexp"
	"unicode/utf8"
)

// Formats of what a document's signature is.
const (
	PAdES = "pades"
	XAdES = "xades"
)

var errForeign = errors.New("not what a signature of a document is")

// Check tells whether bytes are what a key may sign for a document: CMS's signed attributes of a PDF's signature, or the
// ds:SignedInfo of a flow's, for that certificate. There is one way to write them: anything else is refused, so that a key
// cannot be made to sign a login, a mail or another site's bytes.
func Check(format string, content []byte, certificate *x509.Certificate) error {
	switch format {
	case PAdES:
		return checkAttributes(content, certificate)
	case XAdES:
		return checkInfo(content, certificate.PublicKey)
	}
	return errForeign
}

var (
	oidContentType   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidData          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidMessageDigest = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidCertificateV2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}
)

type attribute struct {
	Type   asn1.ObjectIdentifier
	Values []asn1.RawValue `asn1:"set"`
}

type issuerSerial struct {
	Issuer []asn1.RawValue
	Serial *big.Int
}

type certificateID struct { // ESSCertIDv2 of RFC 5035; SHA-256 is its default, not written
	Hash         []byte
	IssuerSerial issuerSerial
}

type signingCertificate struct{ Certificates []certificateID }

// checkAttributes makes the attributes of this certificate with the digest that is there, and compares: contentType
// (id-data), messageDigest (SHA-256), signingCertificateV2, in DER, and no other.
func checkAttributes(content []byte, certificate *x509.Certificate) error {
	digest := make([]byte, sha256.Size)
	expected, err := attributes(digest, certificate)
	if err != nil || len(content) != len(expected) {
		return errForeign
	}
	place := bytes.Index(expected, append([]byte{asn1.TagOctetString, sha256.Size}, digest...)) + 2
	copy(expected[place:], content[place:place+sha256.Size])
	if !bytes.Equal(content, expected) {
		return errForeign
	}
	return nil
}

func attributes(digest []byte, certificate *x509.Certificate) ([]byte, error) {
	name := asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 4, IsCompound: true, Bytes: certificate.RawIssuer}
	hash := sha256.Sum256(certificate.Raw)
	var all [][]byte
	for _, one := range []struct {
		kind  asn1.ObjectIdentifier
		value any
	}{
		{oidContentType, oidData},
		{oidMessageDigest, digest},
		{oidCertificateV2, signingCertificate{[]certificateID{{hash[:], issuerSerial{[]asn1.RawValue{name}, certificate.SerialNumber}}}}},
	} {
		value, err := asn1.Marshal(one.value)
		if err != nil {
			return nil, err
		}
		encoded, err := asn1.Marshal(attribute{one.kind, []asn1.RawValue{{FullBytes: value}}})
		if err != nil {
			return nil, err
		}
		all = append(all, encoded) // in DER's order: each is longer than the one before
	}
	return asn1.Marshal(asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: bytes.Join(all, nil)})
}

// info is a ds:SignedInfo in exclusive canonical form, with its references to a part of a flow and to XAdES' properties.
var info = regexp.MustCompile(`^<ds:SignedInfo xmlns:ds="http://www\.w3\.org/2000/09/xmldsig#">` +
	element("CanonicalizationMethod", `http://www\.w3\.org/2001/10/xml-exc-c14n#`) +
	element("SignatureMethod", `http://www\.w3\.org/2001/04/xmldsig-more#(rsa|ecdsa)-sha256`) +
	`<ds:Reference URI="#([^\x00-\x20\x7f<>&"'#]{1,200})"><ds:Transforms>` +
	element("Transform", `http://www\.w3\.org/2000/09/xmldsig#enveloped-signature`) +
	element("Transform", `http://www\.w3\.org/2001/10/xml-exc-c14n#`) + `</ds:Transforms>` + digested + `</ds:Reference>` +
	`<ds:Reference Type="http://uri\.etsi\.org/01903/v1\.2\.2#SignedProperties" URI="#([^\x00-\x20\x7f<>&"'#]{1,200})_SP">` +
	`<ds:Transforms>` + element("Transform", `http://www\.w3\.org/2001/10/xml-exc-c14n#`) + `</ds:Transforms>` + digested +
	`</ds:Reference></ds:SignedInfo>$`)

var digested = element("DigestMethod", `http://www\.w3\.org/2001/04/xmlenc#sha256`) +
	`<ds:DigestValue>[A-Za-z0-9+/]{43}=</ds:DigestValue>`

func element(name, algorithm string) string {
	return `<ds:` + name + ` Algorithm="` + algorithm + `"></ds:` + name + `>`
}

func checkInfo(content []byte, public crypto.PublicKey) error {
	parts := info.FindSubmatch(content)
	if parts == nil || !utf8.Valid(content) || bytes.Equal(parts[2], parts[3]) {
		return errForeign
	}
	family := "rsa"
	if _, isEC := public.(*ecdsa.PublicKey); isEC {
		family = "ecdsa"
	} else if _, isRSA := public.(*rsa.PublicKey); !isRSA {
		return errForeign
	}
	if string(parts[1]) != family {
		return errForeign
	}
	return nil
}
