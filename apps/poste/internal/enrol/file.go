package enrol

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	pkcs12 "software.sslmate.com/src/go-pkcs12"

	"creatic-poste/internal/config"
	"creatic-poste/internal/keys"
	"creatic-poste/internal/refusal"
)

const maximumFile = 1 << 20 // bytes; a real one is a few thousand

// How a certificate names an organization: its unit as RGS writes it (SIREN, or SIRET), or its identifier as ETSI
// EN 319 412-1 does.
var (
	unit           = regexp.MustCompile(`^0002 ([0-9]{9})(?:[0-9]{5})?$`)
	identifier     = regexp.MustCompile(`^(?:NTRFR|SI:FR)-([0-9]{9})(?:[0-9]{5})?$`)
	identifierType = asn1.ObjectIdentifier{2, 5, 4, 97}
)

// File installs a provider's .p12. Nothing changes anywhere until it is known to be right.
func (a *Account) File(ctx context.Context, wanted config.Certificate, path, password string) Outcome {
	got, err := a.file(ctx, wanted, path, password)
	if err != nil {
		return told(wanted.Name, err)
	}
	message := fmt.Sprintf("%s : installé, au nom de « %s », jusqu'au %s. Le fichier et son mot de passe ne servent plus ici : "+
		"rangez-les ailleurs que sur ce PC.", wanted.Name, got.Subject.CommonName, day(got.NotAfter))
	if got.Subject.CommonName != wanted.Holder {
		message += fmt.Sprintf(" Le fichier du PC attendait « %s » : le navigateur demandera quel certificat montrer, prévenez "+
			"le groupement.", wanted.Holder)
	}
	return Outcome{Name: wanted.Name, State: "installe", Message: message, Fingerprint: keys.Fingerprint(got)}
}

func (a *Account) file(ctx context.Context, wanted config.Certificate, path, password string) (*x509.Certificate, error) {
	if err := a.sameComputer(); err != nil {
		return nil, err
	}
	if wanted.Source != config.File {
		return nil, refusal.New("source", "%s ne vient pas d'un fichier (source : %s). Rien n'a été changé.", wanted.Name, wanted.Source)
	}
	if err := a.finish(wanted.Name); err != nil {
		return nil, err
	}
	private, leaf, above, err := readFile(path, password, wanted, time.Now())
	if err != nil {
		return nil, err
	}
	entry := a.State.Of(wanted.Name)
	if held, err := a.Holds(wanted); err != nil {
		return nil, err
	} else if held != nil && held.Certificate.Equal(leaf) {
		return leaf, nil
	}
	if entry.Pending == nil {
		entry.Pending = &Held{Container: container(wanted.Name)}
		if err := a.State.save(); err != nil {
			return nil, err
		}
	}
	if err := a.Store.Delete(entry.Pending.Container); err != nil { // what a power cut left
		return nil, refusal.New("magasin", "%s : la clé d'un essai précédent ne peut pas être retirée (%v).", wanted.Name, err)
	}
	key, err := a.Store.Import(entry.Pending.Container, private)
	if err != nil {
		return nil, a.withdrawn(wanted.Name, path, private, err)
	}
	defer key.Close()
	return leaf, a.install(ctx, wanted, entry.Pending, key, leaf, above)
}

// withdrawn leaves nothing of a key that cannot be kept.
func (a *Account) withdrawn(name, path string, private crypto.PrivateKey, err error) error {
	entry := a.State.Of(name)
	pending := *entry.Pending
	entry.Pending = nil
	if other := a.remove(pending); other != nil {
		return refusal.New("magasin", "%s : la clé ne peut ni être posée (%v), ni retirée (%v).", name, err, other)
	}
	if other := a.State.save(); other != nil {
		return other
	}
	if errors.Is(err, keys.ErrUnsupported) {
		return refusal.New("cle_inconnue", "%s : ce système ne sait pas garder sa clé (%s) ; demandez au prestataire un "+
			"certificat à clé RSA. Rien n'a été changé.", path, kind(private))
	}
	return refusal.New("cle", "%s : sa clé ne peut pas être posée (%v). Rien n'a été changé.", path, err)
}

func readFile(path, password string, wanted config.Certificate, now time.Time) (crypto.PrivateKey, *x509.Certificate, []*x509.Certificate, error) {
	wrong := func(cause, format string, values ...any) (crypto.PrivateKey, *x509.Certificate, []*x509.Certificate, error) {
		return nil, nil, nil, refusal.New(cause, "%s %s Rien n'a été changé.", path, fmt.Sprintf(format, values...))
	}
	place, err := os.Stat(path)
	if err != nil {
		return wrong("fichier", "est introuvable : donnez le chemin du .p12 du prestataire.")
	}
	if place.IsDir() || place.Size() > maximumFile {
		return wrong("fichier", "n'est pas un .p12.")
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return wrong("fichier", "ne se lit pas (%v).", err)
	}
	private, leaf, above, err := pkcs12.DecodeChain(content, password)
	switch {
	case errors.Is(err, pkcs12.ErrIncorrectPassword), errors.Is(err, pkcs12.ErrDecryption):
		return wrong("mot_de_passe", "ne s'ouvre pas avec ce mot de passe : vérifiez-le auprès du prestataire.")
	case err != nil:
		return wrong("fichier", "ne contient pas une clé et son certificat, ou il est abîmé (%v) : redemandez-le au prestataire.", err)
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return wrong("fichier", "contient une clé d'un type inconnu.")
	}
	mine := func(one *x509.Certificate) bool {
		public, ok := one.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
		return ok && public.Equal(signer.Public())
	}
	all := append([]*x509.Certificate{leaf}, above...)
	rank := slices.IndexFunc(all, mine)
	if rank < 0 {
		return wrong("fichier", "n'a pas le certificat de sa clé : redemandez-le au prestataire.")
	}
	leaf = all[rank]
	above = nil
	for _, one := range all {
		if one.IsCA && one.CheckSignatureFrom(one) != nil { // roots are trusted by the machine's part, or not at all
			above = append(above, one)
		}
	}
	if now.After(leaf.NotAfter) {
		return wrong("expire", "a expiré le %s : demandez son renouvellement au prestataire.", day(leaf.NotAfter))
	}
	if now.Before(leaf.NotBefore) {
		return wrong("horloge", "ne vaut qu'à partir du %s : l'horloge de ce PC retarde peut-être.", day(leaf.NotBefore))
	}
	named := SIRENs(leaf)
	if len(named) != 1 || named[0] != wanted.SIREN {
		whose := "ne dit pas de quel SIREN il est"
		if len(named) > 0 {
			whose = "est au SIREN " + strings.Join(named, ", ")
		}
		return wrong("siren", "%s, et non au %s (%s) : prenez le fichier de cet organisme.", whose, wanted.SIREN, wanted.Organization)
	}
	if wanted.Usage == config.Authentication && !authenticates(leaf) {
		return wrong("usage", "ne sert pas à s'authentifier (usage du certificat) : demandez le bon au prestataire.")
	}
	return private, leaf, above, nil
}

// SIRENs of the organizations that a certificate names.
func SIRENs(certificate *x509.Certificate) []string {
	var found []string
	for _, one := range certificate.Subject.Names {
		form := unit
		if one.Type.Equal(identifierType) {
			form = identifier
		} else if !one.Type.Equal(asn1.ObjectIdentifier{2, 5, 4, 11}) {
			continue
		}
		text, _ := one.Value.(string)
		if parts := form.FindStringSubmatch(text); parts != nil && !slices.Contains(found, parts[1]) {
			found = append(found, parts[1])
		}
	}
	return found
}

func authenticates(leaf *x509.Certificate) bool {
	return len(leaf.ExtKeyUsage)+len(leaf.UnknownExtKeyUsage) == 0 ||
		slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth) || slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny)
}

func kind(private crypto.PrivateKey) string {
	name := fmt.Sprintf("%T", private)
	return strings.ToUpper(strings.TrimSuffix(strings.TrimPrefix(name, "*"), ".PrivateKey"))
}
