package lots

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"creatic-poste/internal/confirm"
	"creatic-poste/internal/refusal"
	"creatic-poste/internal/signers"
)

const (
	mostDocuments   = 100
	mostSignatures  = 200 // of a flow
	mostIdleAnswers = 10  // while documents are prepared, and none of them is
	longestMessage  = 400 // characters
	longestTitle    = 200
)

// document is one that the site wants signed.
type document struct {
	Dossier int64  `json:"dossier"`
	Title   string `json:"titre"`
	Nature  string `json:"nature"`
	Format  string `json:"format"`
	SHA256  string `json:"sha256"`
}

type list struct {
	Site      string     `json:"site"`
	Person    string     `json:"personne"`
	End       time.Time  `json:"fin"`
	After     string     `json:"suite"`
	Documents []document `json:"documents"`
}

// prepared is what the site prepared for a certificate.
type prepared struct {
	ToSign []struct {
		Dossier    int64  `json:"dossier"`
		Attributes []byte `json:"attributs"`
		Digest     string `json:"empreinte"`
	} `json:"a_signer"`
	Refused []struct {
		Dossier int64  `json:"dossier"`
		Message string `json:"message"`
	} `json:"refus"`
	Left int `json:"reste"`
}

type answer struct {
	State   string `json:"etat"` // signe, recu, refuse
	Message string `json:"message"`
}

// Refused is a document that the site does not take.
type Refused struct {
	Title   string `json:"titre"`
	Message string `json:"message"`
}

// Outcome is what came of a lot.
type Outcome struct {
	Signed  int       `json:"signes"`
	Refused []Refused `json:"refuses"`
	Waiting int       `json:"attendent"` // neither signed nor refused
	Why     error     `json:"-"`         // why some wait
}

// Message says it in French.
func (o *Outcome) Message() string {
	text := count(o.Signed, "document signé", "documents signés")
	if o.Signed == 0 {
		text = "Rien n'a été signé"
	}
	if len(o.Refused) > 0 {
		text += fmt.Sprintf(" ; %s", count(len(o.Refused), "refusé", "refusés"))
	}
	if o.Waiting > 0 {
		text += fmt.Sprintf(" ; %s", count(o.Waiting, "attend", "attendent"))
	}
	text += "."
	if o.Why != nil {
		text += "\n" + refusal.Of(o.Why).Message
		if o.Signed > 0 {
			text += "\nCe qui est signé l'est : recommencez depuis le parapheur pour les autres, rien ne sera signé deux fois."
		}
	}
	for _, one := range o.Refused {
		text += fmt.Sprintf("\n%s : %s", one.Title, one.Message)
	}
	return text
}

func count(number int, one, several string) string {
	if number > 1 {
		return fmt.Sprintf("%d %s", number, several)
	}
	return fmt.Sprintf("%d %s", number, one)
}

// Flow is one lot, from the address that opened the program to what the page shows.
type Flow struct {
	Roots    []*x509.Certificate // authorities of the groupement: the site's certificate is of one of them
	Signers  []signers.Signer
	Face     confirm.Face
	Patience time.Duration // while the site says « later », or does not answer
}

// Run signs a lot. An error: nothing was signed.
func (f *Flow) Run(ctx context.Context, r *Request) (*Outcome, error) {
	s := newServer(r, f.Roots, f.Patience)
	defer s.http.CloseIdleConnections()
	var given list
	if err := s.fetch(ctx, &given); err != nil {
		return nil, err
	}
	if err := given.check(r.Site); err != nil {
		return nil, s.odd()
	}
	s.secret = given.After
	if len(given.Documents) == 0 {
		return nil, refusal.New("rien", "Il ne reste rien à signer dans cette demande : voyez la page du parapheur.")
	}
	chosen, err := f.Face.Confirm(f.order(&given))
	if err != nil {
		return nil, err
	}
	by := f.Signers[chosen]
	chain, err := by.Certificate(f.Face)
	if err != nil {
		return nil, err
	}
	todo, outcome, err := certify(ctx, s, &given, chain)
	if err != nil {
		return nil, err
	}
	if len(todo) == 0 {
		return outcome, nil
	}
	key, err := by.Key(f.Face)
	if err != nil {
		return nil, err
	}
	f.sign(ctx, s, todo, chain[0], key, outcome)
	return outcome, nil
}

var digestForm = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (l *list) check(site string) error {
	wrong := errors.New("not what is agreed")
	if l.Site != site || !secretForm.MatchString(l.After) || strings.TrimSpace(l.Person) == "" || len(l.Documents) > mostDocuments {
		return wrong
	}
	seen := map[int64]bool{}
	for rank := range l.Documents {
		one := &l.Documents[rank]
		if seen[one.Dossier] || one.Format != PAdES && one.Format != XAdES || !digestForm.MatchString(one.SHA256) {
			return wrong
		}
		seen[one.Dossier] = true
		one.Title, one.Nature = confirm.Clean(one.Title, longestTitle), confirm.Clean(one.Nature, longestTitle)
	}
	return nil
}

func (f *Flow) order(l *list) confirm.Order {
	var text strings.Builder
	fmt.Fprintf(&text, "%s demande la signature de %s, par %s.\n", l.Site, count(len(l.Documents), "document", "documents"),
		confirm.Clean(l.Person, longestTitle))
	for rank, one := range l.Documents {
		fmt.Fprintf(&text, "\n%d. %s\n   %s, SHA-256 %s\n", rank+1, one.Title, one.Nature, one.SHA256)
	}
	order := confirm.Order{Text: text.String()}
	for _, one := range f.Signers {
		order.Choices = append(order.Choices, one.Label())
	}
	return order
}

// piece is one signature to make.
type piece struct {
	document *document
	content  []byte
}

// certify says which certificate signs, until all is prepared, and gives what its key has to sign, once all of it is what a
// key may sign.
func certify(ctx context.Context, s *server, l *list, chain []*x509.Certificate) ([]piece, *Outcome, error) {
	var texts []string
	for _, one := range chain {
		texts = append(texts, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: one.Raw})))
	}
	var got prepared
	for idle, before := 0, -1; ; before = got.Left {
		got = prepared{}
		if err := s.post(ctx, "/certificat", map[string]any{"certificats": texts}, &got); err != nil {
			return nil, nil, err
		}
		if got.Left == 0 || idle == mostIdleAnswers {
			break
		}
		if got.Left != before {
			idle = 0
			continue
		}
		idle++
		select {
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		case <-time.After(2 * time.Second):
		}
	}
	known := map[int64]*document{}
	for rank := range l.Documents {
		known[l.Documents[rank].Dossier] = &l.Documents[rank]
	}
	outcome := &Outcome{Refused: []Refused{}}
	refused := map[int64]bool{}
	for _, one := range got.Refused {
		if document := known[one.Dossier]; document != nil && !refused[one.Dossier] {
			refused[one.Dossier] = true
			outcome.Refused = append(outcome.Refused, Refused{document.Title, confirm.Clean(one.Message, longestMessage)})
		}
	}
	var todo []piece
	seen, many := map[string]bool{}, map[int64]int{}
	for _, one := range got.ToSign {
		document := known[one.Dossier]
		many[one.Dossier]++
		if document == nil || refused[one.Dossier] || one.Digest != "sha256" || seen[string(one.Attributes)] ||
			many[one.Dossier] > map[string]int{PAdES: 1, XAdES: mostSignatures}[document.Format] ||
			Check(document.Format, one.Attributes, chain[0]) != nil {
			return nil, nil, refusal.New("contenu", "%s a envoyé à signer autre chose que les documents de la liste : rien n'a été "+
				"signé. Prévenez le groupement.", s.host())
		}
		seen[string(one.Attributes)] = true
		todo = append(todo, piece{document, one.Attributes})
	}
	outcome.Waiting = len(l.Documents) - len(refused)
	if got.Left > 0 {
		outcome.Why = refusal.New("plus_tard", "%s n'a pas préparé tous les documents à temps.", s.host())
	}
	return todo, outcome, nil
}

// sign signs each, one by one; what stops keeps what was signed.
func (f *Flow) sign(ctx context.Context, s *server, todo []piece, certificate *x509.Certificate, key crypto.Signer, o *Outcome) {
	over := map[int64]bool{} // refused while others of its signatures were to come
	for _, one := range todo {
		if over[one.document.Dossier] {
			continue
		}
		made, err := signOne(one.content, certificate, key)
		if err != nil {
			o.Why = refusal.New("cle", "La clé ne signe plus (%v) : rebranchez le jeton s'il a été retiré.", err)
			return
		}
		var got answer
		err = s.post(ctx, "/signatures", map[string]any{"dossier": one.document.Dossier, "signature": made}, &got)
		if err != nil {
			o.Why = err
			return
		}
		switch got.State {
		case "recu":
		case "signe":
			o.Signed++
			o.Waiting--
			f.Face.Progress("signé : " + one.document.Title)
		case "refuse":
			o.Waiting--
			over[one.document.Dossier] = true
			o.Refused = append(o.Refused, Refused{one.document.Title, confirm.Clean(got.Message, longestMessage)})
		default:
			o.Why = s.odd()
			return
		}
	}
}

// signOne signs, and verifies what was made by the certificate before it goes.
func signOne(content []byte, certificate *x509.Certificate, key crypto.Signer) (string, error) {
	digest := sha256.Sum256(content)
	made, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return "", err
	}
	verified := false
	switch public := certificate.PublicKey.(type) {
	case *rsa.PublicKey:
		verified = rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], made) == nil
	case *ecdsa.PublicKey:
		verified = ecdsa.VerifyASN1(public, digest[:], made)
	}
	if !verified {
		return "", errors.New("ce qu'elle a fait n'est pas de ce certificat")
	}
	return base64.StdEncoding.EncodeToString(made), nil
}
