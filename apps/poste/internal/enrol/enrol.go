// Package enrol makes one account's certificates be what the PC's file asks: key, request, answer, store, proof; and
// takes up again what was cut off at any of these.
package enrol

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"creatic-poste/internal/config"
	"creatic-poste/internal/door"
	"creatic-poste/internal/keys"
	"creatic-poste/internal/refusal"
)

const (
	// RenewalDays before its end, a certificate of the groupement is renewed unasked.
	RenewalDays  = 30
	firstPause   = time.Second
	longestPause = 15 * time.Second
)

// Account is one account of a PC.
type Account struct {
	Config   *config.Config
	Store    keys.Store
	State    *State
	Computer string        // the computer's own name
	Patience time.Duration // how long to wait for the groupement's answer
	Out      io.Writer     // what a person reads
}

// Outcome is what became of one certificate.
type Outcome struct {
	Name        string `json:"nom"`
	State       string `json:"etat"` // installe, inchange, attente, refuse, a_poser, a_brancher
	Message     string `json:"message"`
	Cause       string `json:"cause,omitempty"`
	Fingerprint string `json:"empreinte,omitempty"`
	code        int
}

// Code is the exit code of what became of several: what failed counts before what waits.
func Code(all []Outcome) int {
	code := refusal.Done
	for _, one := range all {
		if one.code == refusal.Failed || code == refusal.Done {
			code = one.code
		}
	}
	return code
}

// Session looks at each certificate of the PC's file; what fails with one never keeps the others.
func (a *Account) Session(ctx context.Context) []Outcome {
	var all []Outcome
	for _, fault := range a.Config.Faulty {
		all = append(all, Outcome{State: "refuse", Message: fault.Message, Cause: fault.Cause, code: refusal.Failed})
	}
	if err := a.sameComputer(); err != nil {
		return append(all, told("", err))
	}
	for _, one := range a.Config.Certificates {
		all = append(all, a.keep(ctx, one))
	}
	return all
}

func (a *Account) sameComputer() error {
	if !strings.EqualFold(a.Computer, a.Config.Computer) {
		return refusal.New("autre_poste", "Ce PC se nomme « %s », et %s est fait pour « %s » : redemandez l'installateur de ce "+
			"PC, ou rendez-lui son nom. Rien n'a été changé.", a.Computer, a.Config.Path, a.Config.Computer)
	}
	return nil
}

func told(name string, err error) Outcome {
	refused := refusal.Of(err)
	state := "refuse"
	if refused.Code == refusal.Waiting {
		state = "attente"
	}
	return Outcome{Name: name, State: state, Message: refused.Message, Cause: refused.Cause, code: refused.Code}
}

func (a *Account) keep(ctx context.Context, wanted config.Certificate) Outcome {
	if err := a.finish(wanted.Name); err != nil {
		return told(wanted.Name, err)
	}
	held, err := a.Holds(wanted)
	if err != nil {
		return told(wanted.Name, err)
	}
	now := time.Now()
	if held != nil && now.Before(held.Certificate.NotAfter) {
		if wanted.Source != config.Issued || Days(held.Certificate, now) > RenewalDays {
			return Outcome{Name: wanted.Name, State: "inchange", Fingerprint: keys.Fingerprint(held.Certificate),
				Message: fmt.Sprintf("%s : installé, jusqu'au %s.", wanted.Name, day(held.Certificate.NotAfter))}
		}
		return a.obtain(ctx, wanted, held)
	}
	switch wanted.Source {
	case config.File:
		return Outcome{Name: wanted.Name, State: "a_poser", code: refusal.Waiting, Cause: "fichier",
			Message: fmt.Sprintf("%s : à poser, creatic-poste fichier CHEMIN.p12 --certificat %s.", wanted.Name, wanted.Name)}
	case config.Token:
		return Outcome{Name: wanted.Name, State: "a_brancher", Cause: "jeton",
			Message: fmt.Sprintf("%s : il est dans le jeton, le pilote du prestataire le montre quand on le branche.", wanted.Name)}
	}
	return a.obtain(ctx, wanted, nil)
}

// Holds gives the certificate that the account has for one of the PC's file, its key proved; nil: it has none.
func (a *Account) Holds(wanted config.Certificate) (*keys.Installed, error) {
	entry := a.State.Of(wanted.Name)
	if entry.Current == nil {
		return nil, nil
	}
	found, err := keys.Find(a.Store, entry.Current.Fingerprint)
	if err != nil || found == nil {
		return nil, err
	}
	if wanted.Source == config.Issued && !sameSubject(found.Certificate, wanted) {
		return nil, nil
	}
	if err := keys.Prove(a.Store, *found); err != nil {
		return nil, nil // its key is gone or another: as if there were none
	}
	return found, nil
}

// Renew asks for the successor of a certificate, by the key that it has.
func (a *Account) Renew(ctx context.Context, wanted config.Certificate) Outcome {
	if err := a.sameComputer(); err != nil {
		return told(wanted.Name, err)
	}
	if wanted.Source != config.Issued {
		return told(wanted.Name, refusal.New("source", "%s : le groupement ne l'a pas émis, son prestataire le renouvelle.", wanted.Name))
	}
	if err := a.finish(wanted.Name); err != nil {
		return told(wanted.Name, err)
	}
	held, err := a.Holds(wanted)
	if err != nil {
		return told(wanted.Name, err)
	}
	if held == nil {
		return told(wanted.Name, refusal.New("absent", "%s : il n'est pas installé ; creatic-poste session le demande.", wanted.Name))
	}
	if late := -Days(held.Certificate, time.Now()); time.Now().After(held.Certificate.NotAfter) {
		return told(wanted.Name, refusal.New("expire", "%s : il a expiré le %s, il y a %d jours : il ne peut plus servir à se "+
			"renouveler. Demandez un nouvel installateur au groupement. Rien n'a été changé.", wanted.Name,
			day(held.Certificate.NotAfter), late))
	}
	return a.obtain(ctx, wanted, held)
}

// obtain asks with the one-time token, or by the certificate that is held, and installs what comes.
func (a *Account) obtain(ctx context.Context, wanted config.Certificate, held *keys.Installed) Outcome {
	got, err := a.request(ctx, wanted, held)
	if err != nil {
		return told(wanted.Name, err)
	}
	message := fmt.Sprintf("%s : installé, jusqu'au %s.", wanted.Name, day(got.NotAfter))
	if wanted.Usage == config.Authentication {
		message += fmt.Sprintf(" À faire : l'enregistrer auprès du TdT (%s), empreinte %s.", a.Config.TdT, keys.Fingerprint(got))
	}
	return Outcome{Name: wanted.Name, State: "installe", Message: message, Fingerprint: keys.Fingerprint(got)}
}

func (a *Account) request(ctx context.Context, wanted config.Certificate, held *keys.Installed) (*x509.Certificate, error) {
	entry := a.State.Of(wanted.Name)
	if held == nil {
		if a.Config.Token == "" {
			return nil, refusal.New("sans_jeton", "%s : %s n'a pas de jeton. Demandez un nouvel installateur au groupement.",
				wanted.Name, a.Config.Path)
		}
		if entry.Pending == nil && time.Now().After(a.Config.TokenEnd) {
			return nil, refusal.New("jeton_expire", "%s : l'installateur a servi trop tard, son jeton valait jusqu'au %s (ou "+
				"l'horloge de ce PC avance). Demandez-en un nouveau au groupement.", wanted.Name, day(a.Config.TokenEnd))
		}
	}
	if entry.Pending == nil {
		entry.Pending = &Held{Container: container(wanted.Name)}
		if err := a.State.save(); err != nil {
			return nil, err
		}
	}
	key, err := a.Store.Make(entry.Pending.Container)
	if err != nil {
		return nil, refusal.New("cle", "%s : la clé ne peut pas être faite (%v).", wanted.Name, err)
	}
	defer key.Close()
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: subject(wanted)}, key)
	if err != nil {
		return nil, refusal.New("cle", "%s : la clé ne signe pas (%v).", wanted.Name, err)
	}
	answer, err := a.converse(ctx, wanted, held, csr)
	if err != nil {
		return nil, err
	}
	leaf, chain, err := Verify(a.Config, wanted, key.Public(), answer, time.Now())
	if err != nil {
		return nil, err
	}
	return leaf, a.install(ctx, wanted, entry.Pending, key, leaf, chain)
}

// converse asks the door, then waits for the groupement's signature. Asking again with the same key changes nothing.
func (a *Account) converse(ctx context.Context, wanted config.Certificate, held *keys.Installed, csr []byte) (*door.Answer, error) {
	folder, bearer := "/demandes", a.Config.Token
	body := map[string]string{"csr": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}))}
	client := door.New(a.Config, nil)
	if held == nil {
		body["jeton"], body["poste"], body["nom"], body["certificat"] = a.Config.Token, a.Config.PC, a.Computer, wanted.Name
	} else {
		key, err := a.Store.Open(held.Container)
		if err != nil {
			return nil, err
		}
		defer key.Close()
		sum := sha256.Sum256(csr)
		proof, err := key.Sign(rand.Reader, sum[:], crypto.SHA256)
		if err != nil {
			return nil, refusal.New("cle", "%s : la clé de l'ancien certificat ne signe pas (%v).", wanted.Name, err)
		}
		body["preuve"] = base64.StdEncoding.EncodeToString(proof) // that who holds it asks for its successor
		folder, bearer = "/renouvellements", ""
		client = door.New(a.Config, keys.TLS(key, append([]*x509.Certificate{held.Certificate}, a.Config.Issuers...)...))
	}
	defer client.Close()
	answer, err := client.Post(ctx, folder, body)
	if wrong := client.Clock(); wrong != "" {
		fmt.Fprintf(a.Out, "Attention : %s.\n", wrong)
	}
	if err != nil {
		var refused *refusal.Error
		if errors.As(err, &refused) && refused.Cause == "jeton_utilise" {
			refused.Message += " Un autre compte de ce PC, ou un autre PC, s'en est servi : demandez un nouvel installateur."
		}
		return nil, err
	}
	deadline, pause := time.Now().Add(a.Patience), firstPause
	if answer.State == "signee" {
		pause = 0 // before this was asked again
	}
	for id := answer.ID; answer.State != "signee" || answer.Certificate == ""; { // which GET alone gives
		if answer.State == "refusee" {
			return nil, refusal.New("refusee", "%s : le groupement refuse la demande : %s", wanted.Name, answer.Message)
		}
		if time.Now().Add(pause).After(deadline) {
			return nil, refusal.Waits("attente", "%s : la demande %s attend la signature du groupement ; elle sera reprise à "+
				"la prochaine ouverture de session.", wanted.Name, id)
		}
		select {
		case <-ctx.Done():
			return nil, refusal.Waits("attente", "%s : interrompu ; la demande %s sera reprise.", wanted.Name, id)
		case <-time.After(pause):
		}
		pause = min(max(pause*3/2, firstPause), longestPause)
		next, err := client.Get(ctx, folder+"/"+url.PathEscape(id), bearer)
		if err != nil {
			if refusal.Of(err).Code != refusal.Waiting {
				return nil, err
			}
			continue // the network comes back, or the deadline passes
		}
		answer = next
	}
	return answer, nil
}

// Verify tells whether a certificate is the one that was asked: key, subject, authority, use, dates.
func Verify(c *config.Config, wanted config.Certificate, key crypto.PublicKey, answer *door.Answer, now time.Time) (*x509.Certificate, []*x509.Certificate, error) {
	wrong := func(format string, values ...any) (*x509.Certificate, []*x509.Certificate, error) {
		return nil, nil, refusal.New("certificat_recu", "%s : le certificat reçu n'est pas celui qui était demandé (%s). Rien n'a "+
			"été installé ; prévenez le groupement.", wanted.Name, fmt.Sprintf(format, values...))
	}
	leaf, err := certificate(answer.Certificate)
	if err != nil {
		return wrong("illisible")
	}
	chain := slices.Clone(c.Issuers)
	for _, text := range answer.Chain {
		above, err := certificate(text)
		if err != nil {
			return wrong("chaîne illisible")
		}
		chain = append(chain, above)
	}
	public, ok := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(key) {
		return wrong("une autre clé")
	}
	if !sameSubject(leaf, wanted) {
		return wrong("au nom de « %s »", leaf.Subject)
	}
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	for _, one := range c.Roots {
		roots.AddCert(one)
	}
	for _, one := range chain {
		intermediates.AddCert(one)
	}
	usage := x509.ExtKeyUsageAny
	if wanted.Usage == config.Authentication {
		usage = x509.ExtKeyUsageClientAuth
	}
	chains, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{usage}})
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired && now.Before(leaf.NotBefore) {
		return nil, nil, refusal.New("horloge", "%s : l'horloge de ce PC retarde, le certificat reçu ne vaut qu'à partir du %s. "+
			"Mettez le PC à l'heure, puis recommencez.", wanted.Name, leaf.NotBefore.Local().Format("02/01/2006 15:04"))
	}
	if err != nil {
		return wrong("%v", err)
	}
	path := chains[0]
	return leaf, path[1 : len(path)-1], nil // neither itself nor the root
}

// install puts the certificate beside its key, proves it, and only then lets the former one go.
func (a *Account) install(ctx context.Context, wanted config.Certificate, held *Held, key keys.Key, leaf *x509.Certificate, chain []*x509.Certificate) error {
	nothing := "l'ancien certificat, s'il y en avait un, sert encore"
	for _, above := range chain {
		added, err := a.Store.AddIntermediate(above)
		if err != nil {
			return refusal.New("magasin", "%s : une autorité ne peut pas être posée (%v) ; %s.", wanted.Name, err, nothing)
		}
		if text := encode(above); added && !slices.Contains(held.Above, text) {
			held.Above = append(held.Above, text)
		}
	}
	held.Fingerprint = keys.Fingerprint(leaf)
	if err := a.State.save(); err != nil {
		return err
	}
	if err := a.Store.Attach(leaf, held.Container, wanted.Holder); err != nil {
		return refusal.New("magasin", "%s : le certificat ne peut pas être posé (%v) ; %s.", wanted.Name, err, nothing)
	}
	found, err := keys.Find(a.Store, held.Fingerprint)
	if err == nil && found == nil {
		err = errors.New("le magasin ne l'a pas gardé")
	}
	if err == nil {
		err = keys.Prove(a.Store, *found)
	}
	if err != nil {
		return refusal.New("magasin", "%s : le certificat posé ne sert pas (%v) ; %s.", wanted.Name, err, nothing)
	}
	if wanted.Source == config.Issued && wanted.Usage == config.Authentication {
		client := door.New(a.Config, keys.TLS(key, append([]*x509.Certificate{leaf}, chain...)...))
		defer client.Close()
		if err := client.Seen(ctx); err != nil {
			return err
		}
	}
	entry := a.State.Of(wanted.Name)
	if entry.Current != nil && entry.Current.Fingerprint != held.Fingerprint {
		entry.Former = append(entry.Former, *entry.Current)
	}
	entry.Current, entry.Pending = held, nil
	if err := a.State.save(); err != nil {
		return err
	}
	return a.finish(wanted.Name)
}

// finish removes the certificates that a new one has replaced.
func (a *Account) finish(name string) error {
	entry := a.State.Of(name)
	for len(entry.Former) > 0 {
		kept := entry.Former[0].Above // the new one has the same authorities above it, most often
		if err := a.remove(Held{entry.Former[0].Container, entry.Former[0].Fingerprint, nil}); err != nil {
			return refusal.New("magasin", "%s : l'ancien certificat ne peut pas être retiré (%v).", name, err)
		}
		for _, text := range kept {
			if entry.Current != nil && !slices.Contains(entry.Current.Above, text) {
				entry.Current.Above = append(entry.Current.Above, text)
			}
		}
		entry.Former = entry.Former[1:]
		if err := a.State.save(); err != nil {
			return err
		}
	}
	return nil
}

func (a *Account) remove(held Held) error {
	if held.Fingerprint != "" {
		found, err := keys.Find(a.Store, held.Fingerprint)
		if err != nil {
			return err
		}
		if found != nil {
			if err := a.Store.Remove(found.Certificate); err != nil {
				return err
			}
		}
	}
	for _, text := range held.Above {
		above, err := certificate(text)
		if err != nil {
			continue
		}
		if err := a.Store.RemoveIntermediate(above); err != nil {
			return err
		}
	}
	return a.Store.Delete(held.Container)
}

// Withdraw removes all that the program put for this account, and nothing else; gives the names.
func (a *Account) Withdraw() ([]string, error) {
	var gone []string
	for name, entry := range a.State.Entries {
		held := slices.Clone(entry.Former)
		for _, one := range []*Held{entry.Pending, entry.Current} {
			if one != nil {
				held = append(held, *one)
			}
		}
		for _, one := range held {
			if err := a.remove(one); err != nil {
				return gone, refusal.New("magasin", "%s : il ne peut pas être retiré (%v).", name, err)
			}
		}
		if len(held) > 0 {
			gone = append(gone, name)
		}
		delete(a.State.Entries, name)
		if err := a.State.save(); err != nil {
			return gone, err
		}
	}
	slices.Sort(gone)
	return gone, nil
}

// Days until a certificate's end, rounded down; negative once it has passed.
func Days(certificate *x509.Certificate, now time.Time) int {
	left := certificate.NotAfter.Sub(now)
	days := int(left / (24 * time.Hour))
	return days
}

func subject(wanted config.Certificate) pkix.Name {
	return pkix.Name{Country: []string{"FR"}, Organization: []string{wanted.Organization},
		OrganizationalUnit: []string{"0002 " + wanted.SIREN}, CommonName: wanted.Holder}
}

func sameSubject(leaf *x509.Certificate, wanted config.Certificate) bool {
	return leaf.Subject.String() == subject(wanted).String()
}

func container(name string) string {
	drawn := make([]byte, 8)
	_, _ = rand.Read(drawn) // never fails
	return "creatic-" + name + "-" + hex.EncodeToString(drawn)
}

func certificate(text string) (*x509.Certificate, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("no PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}

func encode(certificate *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw}))
}

func day(instant time.Time) string { return instant.Local().Format("02/01/2006") }
