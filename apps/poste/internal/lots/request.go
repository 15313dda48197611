// Package lots signs what a groupement's site asks for from its page: it fetches the list by a secret that serves once,
// shows it, and signs what the server prepared for each document, and nothing else.
package lots

import (
	"net/url"
	"regexp"
	"slices"
	"strings"

	"creatic-poste/internal/refusal"
)

const longestRequest = 1000 // characters

var (
	lotForm    = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	secretForm = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`) // 256 bits
)

// Request is what opened the program; its secret is in no message.
type Request struct {
	Site   string // one of the PC's file
	Lot    string
	secret string
}

// Parse reads the address that opened the program.
//
// sites are those of the PC's file: nothing else is ever contacted.
func Parse(text string, sites []string) (*Request, error) {
	wrong := refusal.New("adresse", "Ce n'est pas une demande de signature du parapheur : rien n'a été fait. Recommencez depuis "+
		"la page du parapheur.")
	query, found := strings.CutPrefix(text, "creatic:signer?")
	if !found || len(text) > longestRequest {
		return nil, wrong
	}
	values, err := url.ParseQuery(query)
	if err != nil || len(values) != 3 {
		return nil, wrong
	}
	for _, name := range []string{"site", "lot", "secret"} {
		if len(values[name]) != 1 {
			return nil, wrong
		}
	}
	r := &Request{Site: values.Get("site"), Lot: values.Get("lot"), secret: values.Get("secret")}
	if !lotForm.MatchString(r.Lot) || !secretForm.MatchString(r.secret) {
		return nil, wrong
	}
	if !slices.Contains(sites, r.Site) {
		return nil, refusal.New("site", "Une page demande une signature au nom d'un site qui n'est pas de votre groupement : "+
			"rien n'a été fait, et ce site n'a pas été contacté. Si vous ne veniez pas du parapheur, prévenez le groupement.")
	}
	return r, nil
}
