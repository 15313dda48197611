package lots

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"creatic-poste/internal/confirm"
	"creatic-poste/internal/refusal"
	"creatic-poste/internal/signers"
)

// person agrees, or not, and remembers what was shown.
type person struct {
	refuses bool
	order   confirm.Order
	told    []string
}

func (p *person) Confirm(order confirm.Order) (int, error) {
	p.order = order
	if p.refuses {
		return 0, confirm.Abandoned()
	}
	return 0, nil
}
func (p *person) Secret(string) ([]byte, error) { return []byte("271828"), nil }
func (p *person) File(string) (string, error)   { return "", confirm.Abandoned() }
func (p *person) Tell(text string, _ bool)      { p.told = append(p.told, text) }
func (p *person) Progress(text string)          { p.told = append(p.told, text) }

// holder has a key that may be gone after some signatures, or never open.
type holder struct {
	key         crypto.Signer
	certificate *x509.Certificate
	left, asked int
	closed      error
}

func (h *holder) Label() string { return h.certificate.Subject.CommonName }
func (h *holder) Certificate(confirm.Face) ([]*x509.Certificate, error) {
	return []*x509.Certificate{h.certificate}, nil
}
func (h *holder) Close()                                  {}
func (h *holder) Public() crypto.PublicKey                { return h.key.Public() }
func (h *holder) Key(confirm.Face) (crypto.Signer, error) { h.asked++; return h, h.closed }
func (h *holder) Sign(r io.Reader, d []byte, o crypto.SignerOpts) ([]byte, error) {
	if h.left == 0 {
		return nil, errors.New("CKR_DEVICE_REMOVED")
	}
	h.left--
	return h.key.Sign(r, d, o)
}

// parapheur is a site whose answers a test changes.
type parapheur struct {
	*httptest.Server
	mutex    sync.Mutex
	request  *Request
	paths    []string
	bearers  []string
	list     map[string]any
	prepared []map[string]any // one by answer; the last one stays
	sent     []string
	answers  func(rank int, w http.ResponseWriter) any // nil: « signe »
}

const after = "suite_suite_suite_suite_suite_suite_suite_s"

func serve(t *testing.T, format string, documents int, h *holder) *parapheur {
	t.Helper()
	p := &parapheur{}
	p.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mutex.Lock()
		defer p.mutex.Unlock()
		path := strings.TrimPrefix(r.URL.Path, "/poste/lots/"+p.request.Lot)
		p.paths, p.bearers = append(p.paths, r.Method+path), append(p.bearers, r.Header.Get("Authorization"))
		var answer any = p.list
		switch path {
		case "/certificat":
			answer = p.prepared[0]
			if len(p.prepared) > 1 {
				p.prepared = p.prepared[1:]
			}
		case "/signatures":
			content, _ := io.ReadAll(r.Body)
			p.sent = append(p.sent, string(content))
			answer = map[string]any{"etat": "signe", "message": ""}
			if p.answers != nil {
				answer = p.answers(len(p.sent), w)
			}
		}
		if answer != nil {
			_ = json.NewEncoder(w).Encode(answer)
		}
	}))
	p.Server.Config.ErrorLog = nil
	t.Cleanup(p.Server.Close)
	p.request = &Request{p.URL, "0123abcd-0123-4abc-8def-0123456789ab", strings.Repeat("s", 43)}
	var all, asked []any
	for rank := range documents {
		digest := sha256.Sum256([]byte{byte(rank)})
		all = append(all, map[string]any{"dossier": rank + 1, "titre": fmt.Sprintf("2026_%d : Budget", rank+1), "nature": "Délibération",
			"format": format, "sha256": fmt.Sprintf("%x", digest)})
		content := []byte(signedInfo("rsa", fmt.Sprintf("B%d", rank)))
		if format == PAdES {
			content, _ = attributes(digest[:], h.certificate)
		}
		asked = append(asked, map[string]any{"dossier": rank + 1, "attributs": base64.StdEncoding.EncodeToString(content), "empreinte": "sha256"})
	}
	p.list = map[string]any{"site": p.URL, "personne": "Claire Dubois", "fin": time.Now().Format(time.RFC3339), "suite": after, "documents": all}
	p.prepared = []map[string]any{{"a_signer": asked, "refus": []any{}, "reste": 0}}
	return p
}

func (p *parapheur) asked(rank int) map[string]any {
	return p.prepared[0]["a_signer"].([]any)[rank].(map[string]any)
}

func (p *parapheur) document(rank int) map[string]any {
	return p.list["documents"].([]any)[rank].(map[string]any)
}

func (p *parapheur) run(who *person, h *holder) (*Outcome, error) {
	flow := Flow{[]*x509.Certificate{p.Certificate()}, []signers.Signer{h}, who, 3 * time.Second}
	return flow.Run(context.Background(), p.request)
}

func holds(t *testing.T) *holder {
	key, _ := keysOf(t)
	return &holder{key: key, certificate: certificate(t, key, "Claire Dubois"), left: -1}
}

func TestALotIsShownThenSignedAndTheSecretServesOnce(t *testing.T) {
	h := holds(t)
	p := serve(t, PAdES, 3, h)
	p.document(1)["titre"] = "Titre\u202e\x1b[2J\nfaux"
	p.prepared = append([]map[string]any{{"a_signer": []any{}, "refus": []any{}, "reste": 3}}, p.prepared...)
	who := &person{}
	outcome, err := p.run(who, h)
	if err != nil || outcome.Signed != 3 || outcome.Waiting != 0 || len(outcome.Refused) != 0 {
		t.Fatalf("%+v, %v", outcome, err)
	}
	for _, wanted := range []string{p.URL, "3 documents", "Claire Dubois", "2026_1 : Budget", "Délibération", p.document(0)["sha256"].(string)} {
		if !strings.Contains(who.order.Text, wanted) {
			t.Errorf("%q is not shown:\n%s", wanted, who.order.Text)
		}
	}
	if strings.ContainsAny(who.order.Text, "\u202e\x1b") || !strings.Contains(who.order.Text, "2. Titre\ufffd\ufffd[2J faux") {
		t.Errorf("a title moves what is shown:\n%q", who.order.Text)
	}
	if got := strings.Join(p.paths, " "); got != "GET POST/certificat POST/certificat POST/signatures POST/signatures POST/signatures" {
		t.Error(got)
	}
	if p.bearers[0] != "Bearer "+p.request.secret || p.bearers[1] != "Bearer "+after || h.asked != 1 {
		t.Error(p.bearers, h.asked)
	}
}

func TestAFlowHasSeveralSignaturesAndARefusalEndsItsOwn(t *testing.T) {
	h := holds(t)
	p := serve(t, XAdES, 3, h)
	p.asked(1)["dossier"] = 1 // two of the first flow
	p.list["documents"] = []any{p.document(0), p.document(2)}
	p.answers = func(rank int, w http.ResponseWriter) any {
		return []any{map[string]any{"etat": "recu"}, map[string]any{"etat": "signe"}, map[string]any{"etat": "refuse", "message": "trop\ttard"}}[rank-1]
	}
	outcome, err := p.run(&person{}, h)
	if err != nil || outcome.Signed != 1 || outcome.Waiting != 0 || len(outcome.Refused) != 1 || outcome.Refused[0].Message != "trop tard" {
		t.Fatalf("%+v, %v", outcome, err)
	}
	h.left = -1
	p = serve(t, XAdES, 2, h)
	p.asked(1)["dossier"] = 1
	p.answers = func(int, http.ResponseWriter) any { return map[string]any{"etat": "refuse", "message": "non"} }
	if outcome, _ := p.run(&person{}, h); len(p.sent) != 1 || outcome.Waiting != 1 {
		t.Errorf("the rest of a refused flow is signed: %d, %+v", len(p.sent), outcome)
	}
}

func TestTheTokenIsPulledOutAtTheSeventeenthOfForty(t *testing.T) {
	h := holds(t)
	h.left = 17
	p := serve(t, PAdES, 40, h)
	outcome, err := p.run(&person{}, h)
	if err != nil || outcome.Signed != 17 || outcome.Waiting != 23 || outcome.Why == nil || len(p.sent) != 17 {
		t.Fatalf("%+v, %v", outcome, err)
	}
	if text := outcome.Message(); !strings.HasPrefix(text, "17 documents signés ; 23 attendent.") || !strings.Contains(text, "rien ne sera signé deux fois") {
		t.Error(text)
	}
}

func TestWhatTheSiteSaysLaterIsSentAgain(t *testing.T) {
	h := holds(t)
	p := serve(t, PAdES, 2, h)
	p.answers = func(rank int, w http.ResponseWriter) any {
		if rank < 3 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader([]int{http.StatusServiceUnavailable, http.StatusTooManyRequests}[rank-1])
			return nil
		}
		return map[string]any{"etat": "signe"}
	}
	outcome, err := p.run(&person{}, h)
	if err != nil || outcome.Signed != 2 || len(p.sent) != 4 || p.sent[0] != p.sent[1] || p.sent[1] != p.sent[2] {
		t.Fatalf("%+v, %v, %d", outcome, err, len(p.sent))
	}
	p = serve(t, PAdES, 2, h)
	p.answers = func(_ int, w http.ResponseWriter) any { w.WriteHeader(http.StatusServiceUnavailable); return nil }
	if outcome, err := p.run(&person{}, h); err != nil || outcome.Signed != 0 || outcome.Waiting != 2 || refusal.Of(outcome.Why).Cause != "plus_tard" {
		t.Fatalf("%+v, %v", outcome, err)
	}
}

func TestWhoDoesNotAgreeSignsNothing(t *testing.T) {
	h := holds(t)
	p := serve(t, PAdES, 1, h)
	if _, err := p.run(&person{refuses: true}, h); refusal.Of(err).Cause != "abandon" || len(p.paths) != 1 || h.asked != 0 {
		t.Fatal(err, p.paths)
	}
	p = serve(t, PAdES, 1, h)
	h.closed = refusal.New("pin", "faux")
	if _, err := p.run(&person{}, h); refusal.Of(err).Cause != "pin" || h.asked != 1 || len(p.sent) != 0 {
		t.Fatal(err, h.asked)
	}
}

func TestAHostileAnswerSignsNothing(t *testing.T) {
	h := holds(t)
	other := certificate(t, h.key, "Anne Bertrand")
	digest := sha256.Sum256(nil)
	foreign, _ := attributes(digest[:], other)
	for name, change := range map[string]func(*parapheur){
		"another site":            func(p *parapheur) { p.list["site"] = "https://mechant.example.test" },
		"no secret":               func(p *parapheur) { delete(p.list, "suite") },
		"nobody":                  func(p *parapheur) { p.list["personne"] = " " },
		"a document twice":        func(p *parapheur) { p.document(1)["dossier"] = 1 },
		"no digest":               func(p *parapheur) { p.document(1)["sha256"] = "abc" },
		"a format":                func(p *parapheur) { p.document(1)["format"] = "cades" },
		"nothing":                 func(p *parapheur) { p.list["documents"] = []any{} },
		"a document of elsewhere": func(p *parapheur) { p.asked(1)["dossier"] = 99 },
		"SHA-1":                   func(p *parapheur) { p.asked(1)["empreinte"] = "sha1" },
		"a raw digest":            func(p *parapheur) { p.asked(1)["attributs"] = base64.StdEncoding.EncodeToString(digest[:]) },
		"another's attributes":    func(p *parapheur) { p.asked(1)["attributs"] = base64.StdEncoding.EncodeToString(foreign) },
		"the same attributes":     func(p *parapheur) { p.asked(1)["attributs"] = p.asked(0)["attributs"] },
		"two of a PDF":            func(p *parapheur) { p.asked(1)["dossier"] = 1 },
		"a flow for a PDF": func(p *parapheur) {
			p.asked(1)["attributs"] = base64.StdEncoding.EncodeToString([]byte(signedInfo("rsa", "B1")))
		},
		"signed and refused": func(p *parapheur) {
			p.prepared[0]["refus"] = []any{map[string]any{"dossier": 1, "message": "non"}}
		},
		"no base64": func(p *parapheur) { p.asked(1)["attributs"] = "é" },
	} {
		p := serve(t, PAdES, 2, h)
		change(p)
		h.asked = 0
		outcome, err := p.run(&person{}, h)
		if err == nil || h.asked != 0 || len(p.sent) != 0 {
			t.Errorf("%s: %+v, %v", name, outcome, err)
		}
	}
}

func TestASiteThatIsNotTheGroupementIsSentNothing(t *testing.T) {
	h := holds(t)
	p := serve(t, PAdES, 1, h)
	flow := Flow{[]*x509.Certificate{h.certificate}, []signers.Signer{h}, &person{}, time.Second}
	if _, err := flow.Run(context.Background(), p.request); refusal.Of(err).Cause != "interception" || len(p.paths) != 0 {
		t.Fatal(err, p.paths)
	}
	moved := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, p.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer moved.Close()
	request := *p.request
	request.Site = moved.URL
	flow.Roots = []*x509.Certificate{moved.Certificate(), p.Certificate()}
	if _, err := flow.Run(context.Background(), &request); err == nil || len(p.paths) != 0 {
		t.Fatal("a redirection is followed")
	}
}

func TestARefusalOfTheWholeIsInTheSiteSWords(t *testing.T) {
	h := holds(t)
	p := serve(t, PAdES, 2, h)
	p.answers = func(rank int, w http.ResponseWriter) any {
		if rank == 2 {
			w.WriteHeader(http.StatusForbidden)
			return map[string]any{"message": "votre session au parapheur a pris fin"}
		}
		return map[string]any{"etat": "signe"}
	}
	outcome, err := p.run(&person{}, h)
	if err != nil || outcome.Signed != 1 || outcome.Waiting != 1 || !strings.Contains(outcome.Message(), "votre session au parapheur a pris fin") {
		t.Fatalf("%+v, %v", outcome, err)
	}
	if strings.Contains(outcome.Message(), after) {
		t.Error("a secret is told")
	}
}
