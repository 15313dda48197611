// Package config reads poste.json, which the control node wrote for one PC.
package config

import (
	"bytes"
	"crypto/x509"
	"encoding/base32"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"creatic-poste/internal/refusal"
)

// Values of a certificate's fields « usage » and « source ».
const (
	Authentication = "authentification"
	Signature      = "signature"

	Issued = "groupement"
	File   = "fichier"
	Token  = "jeton"
)

const maximumSize = 1 << 20 // bytes

var (
	slug  = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	siren = regexp.MustCompile(`^[0-9]{9}$`)
)

// Certificate is one that the clerk of this PC must have.
type Certificate struct {
	Name         string `json:"nom"`
	Holder       string `json:"titulaire"`
	Organization string `json:"organisation"`
	SIREN        string `json:"siren"`
	Usage        string `json:"usage"`
	Source       string `json:"source"`
	Library      string `json:"bibliotheque"`
	Token        string `json:"jeton"`
}

// Config is the PC's file, verified.
type Config struct {
	Path         string
	Groupement   string
	Commune      string
	SIREN        string
	PC           string // the inventory's name
	Computer     string // the computer's own name
	Door         *url.URL
	Token        string // enrolment's, once
	TokenEnd     time.Time
	Roots        []*x509.Certificate
	Issuers      []*x509.Certificate
	TdTRoots     []*x509.Certificate
	TdT          string // origin
	Sites        []string
	Certificates []Certificate
	Faulty       []*refusal.Error // certificates of the file that cannot serve; the others do
}

type file struct {
	Groupement   string            `json:"groupement"`
	Commune      string            `json:"commune"`
	SIREN        string            `json:"siren"`
	PC           string            `json:"poste"`
	Computer     string            `json:"nom"`
	Door         string            `json:"enrolement"`
	Token        string            `json:"jeton"`
	TokenEnd     string            `json:"jeton_fin"`
	Roots        []string          `json:"racines"`
	Issuers      []string          `json:"autorites"`
	TdTRoots     []string          `json:"tdt_autorites"`
	TdT          string            `json:"tdt"`
	Sites        []string          `json:"sites"`
	Certificates []json.RawMessage `json:"certificats"`
}

// Read gives the PC's file; a refusal names the file, the field and the fix.
func Read(path string) (*Config, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, refused("%s est introuvable : ce programme le lit à côté de lui ; réinstallez celui que le groupement "+
			"a fait pour ce PC.", path)
	}
	if err != nil {
		return nil, refused("%s ne se lit pas (%v).", path, err)
	}
	if len(content) > maximumSize {
		return nil, refused("%s dépasse 1 Mio : ce n'est pas le fichier du groupement, redemandez-le.", path)
	}
	return Parse(path, content)
}

// Parse verifies the content of the PC's file.
func Parse(path string, content []byte) (*Config, error) {
	var raw file
	if err := json.Unmarshal(bytes.TrimPrefix(content, []byte("\ufeff")), &raw); err != nil {
		return nil, refused("%s %s", path, told(err))
	}
	c := &Config{
		Path: path, Groupement: raw.Groupement, Commune: raw.Commune, SIREN: raw.SIREN, PC: raw.PC,
		Computer: raw.Computer, Token: raw.Token, Sites: raw.Sites,
	}
	wrong := func(field, format string, values ...any) (*Config, error) {
		return nil, refused("%s (champ %s) : %s Redemandez le fichier au groupement.", path, field,
			fmt.Sprintf(format, values...))
	}
	for field, value := range map[string]string{"commune": c.Commune, "poste": c.PC, "nom": c.Computer} {
		if strings.TrimSpace(value) == "" {
			return wrong(field, "il est vide.")
		}
	}
	if !siren.MatchString(c.SIREN) {
		return wrong("siren", "« %s » n'a pas neuf chiffres.", c.SIREN)
	}
	var err error
	if c.Door, err = origin(raw.Door); err != nil {
		return wrong("enrolement", "%v", err)
	}
	tdt, err := origin(raw.TdT)
	if err != nil {
		return wrong("tdt", "%v", err)
	}
	c.TdT = tdt.String()
	for rank, site := range c.Sites {
		if _, err := origin(site); err != nil {
			return wrong(fmt.Sprintf("sites[%d]", rank), "%v", err)
		}
	}
	if c.Token != "" {
		decoded, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.TrimRight(c.Token, "="))
		if err != nil || len(decoded) != 32 {
			return wrong("jeton", "ce n'est pas un jeton d'enrôlement.") // never its text
		}
		if c.TokenEnd, err = time.Parse(time.RFC3339, raw.TokenEnd); err != nil {
			return wrong("jeton_fin", "« %s » n'est pas une date (AAAA-MM-JJThh:mm:ssZ).", raw.TokenEnd)
		}
	}
	for field, list := range map[string]struct {
		from []string
		into *[]*x509.Certificate
	}{"racines": {raw.Roots, &c.Roots}, "autorites": {raw.Issuers, &c.Issuers}, "tdt_autorites": {raw.TdTRoots, &c.TdTRoots}} {
		for rank, text := range list.from {
			found, err := authority(text)
			if err != nil {
				return wrong(fmt.Sprintf("%s[%d]", field, rank), "%v", err)
			}
			*list.into = append(*list.into, found)
		}
	}
	if len(c.Roots) == 0 {
		return wrong("racines", "il n'y en a pas : rien ne pourrait être vérifié.")
	}
	c.certificates(raw.Certificates)
	return c, nil
}

// certificates keeps those that can serve: a bad one never keeps the others.
func (c *Config) certificates(list []json.RawMessage) {
	seen := map[string]bool{}
	for rank, raw := range list {
		var one Certificate
		fault := ""
		if err := json.Unmarshal(raw, &one); err != nil {
			fault = told(err)
		} else if fault = one.fault(); fault == "" && seen[one.Name] {
			fault = fmt.Sprintf("nom : « %s » est déjà celui d'un autre.", one.Name)
		}
		if fault != "" {
			c.Faulty = append(c.Faulty, refused("%s (champ certificats[%d]) %s Les autres certificats continuent ; "+
				"redemandez le fichier au groupement.", c.Path, rank, fault))
			continue
		}
		seen[one.Name] = true
		c.Certificates = append(c.Certificates, one)
	}
}

func (c Certificate) fault() string {
	switch {
	case !slug.MatchString(c.Name):
		return fmt.Sprintf("nom : « %s » n'est pas fait de minuscules, de chiffres et de tirets.", c.Name)
	case strings.TrimSpace(c.Holder) == "":
		return "titulaire : il est vide."
	case strings.TrimSpace(c.Organization) == "":
		return "organisation : elle est vide."
	case !siren.MatchString(c.SIREN):
		return fmt.Sprintf("siren : « %s » n'a pas neuf chiffres.", c.SIREN)
	case c.Usage != Authentication && c.Usage != Signature:
		return fmt.Sprintf("usage : « %s » n'est ni authentification ni signature.", c.Usage)
	case c.Source != Issued && c.Source != File && c.Source != Token:
		return fmt.Sprintf("source : « %s » n'est ni groupement, ni fichier, ni jeton.", c.Source)
	case c.Source == Token && c.Library == "":
		return "bibliotheque : il faut celle du jeton."
	}
	return ""
}

// Named gives the certificate of that name.
func (c *Config) Named(name string) (Certificate, error) {
	var known []string
	for _, one := range c.Certificates {
		if one.Name == name {
			return one, nil
		}
		known = append(known, one.Name)
	}
	return Certificate{}, &refusal.Error{Cause: "certificat_inconnu", Code: refusal.Usage,
		Message: fmt.Sprintf("« %s » n'est pas un certificat de ce PC ; il a : %s.", name, strings.Join(known, ", "))}
}

func origin(text string) (*url.URL, error) {
	found, err := url.Parse(text)
	if err != nil || found.Scheme != "https" || found.Hostname() == "" || found.User != nil ||
		strings.Trim(found.Path, "/") != "" || found.RawQuery != "" || found.Fragment != "" {
		return nil, fmt.Errorf("« %s » n'est pas l'adresse d'un site (https://nom).", text)
	}
	found.Path = ""
	return found, nil
}

func authority(text string) (*x509.Certificate, error) {
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("il faut un certificat, et un seul, en PEM.")
	}
	found, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, errors.New("ce certificat est abîmé.")
	}
	if !found.IsCA {
		return nil, fmt.Errorf("« %s » n'est pas une autorité.", found.Subject.CommonName)
	}
	return found, nil
}

func told(err error) string {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		field := kind.Field
		if field == "" {
			field = "tout entier"
		}
		return fmt.Sprintf("(champ %s) : ce n'est pas le type attendu (%s).", field, french(kind.Type.Kind().String()))
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Sprintf("n'est pas du JSON (octet %d) : redemandez-le au groupement.", syntax.Offset)
	}
	return fmt.Sprintf("n'est pas du JSON (%v) : redemandez-le au groupement.", err)
}

func french(kind string) string {
	switch kind {
	case "string":
		return "texte"
	case "slice":
		return "liste"
	}
	return "objet"
}

func refused(format string, values ...any) *refusal.Error {
	return &refusal.Error{Cause: "fiche", Message: fmt.Sprintf(format, values...), Code: refusal.Usage}
}
