// Package facts reads what a PC is, changes nothing of it, and signs what it found with the PC's own certificate.
package facts

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"
	"unicode"

	"creatic-poste/internal/enrol"
	"creatic-poste/internal/keys"
	"creatic-poste/internal/machine"
	"creatic-poste/internal/report"
)

const (
	kind    = "creatic constats"
	version = 1
	// Largest is what a signed text may take, in bytes: the door takes 32 KiB with its envelope.
	Largest  = 24 << 10
	patience = 10 * time.Second // of one fact
	longest  = 160              // runes of a text
	most     = 30               // of a list
)

// Fact is what was read, or why it was not (French).
type Fact struct {
	Value  any    `json:"valeur,omitempty"`
	Unread string `json:"non_lu,omitempty"`
}

// Facts are all of them, by name.
type Facts map[string]Fact

type certificate struct {
	Name  string    `json:"nom"`
	State string    `json:"etat"` // as « verifier » says it
	End   time.Time `json:"fin,omitzero"`
}

type placed struct {
	Put    int      `json:"posees"`
	Absent []string `json:"absentes"`
}

type browsers struct {
	placed
	Others []string `json:"autres"` // what another set beside it
}

type clock struct {
	Gap int `json:"ecart_s"` // from the door's; more than nothing: it is ahead
}

type disk struct {
	Free  uint64 `json:"libre"` // bytes
	Total uint64 `json:"total"`
}

type administrator struct {
	Name   string `json:"nom"`
	Active bool   `json:"actif"`
}

type administrators struct {
	Members []administrator `json:"membres"`
	Session bool            `json:"session"` // the account of this session is one of them
}

type updates struct {
	Last   time.Time `json:"derniere"`
	Reboot bool      `json:"redemarrage"` // it waits for one
}

type system struct {
	Family   string `json:"famille"` // windows, debian…
	Name     string `json:"nom"`
	Version  string `json:"version"`
	Edition  string `json:"edition,omitempty"`
	Build    uint64 `json:"build,omitempty"`
	Revision uint64 `json:"revision,omitempty"`
}

type encryption struct {
	System bool `json:"systeme"` // the disk that the system starts from
}

// Collect reads everything; one that cannot be read says why, and never keeps the others.
func Collect(a *enrol.Account, place machine.Place, gap func() (time.Duration, error), now time.Time) Facts {
	found := Facts{}
	for name, read := range own() {
		found[name] = guarded(read)
	}
	found["horloge"] = guarded(func() (any, error) {
		found, err := gap()
		return clock{int(found / time.Second)}, err
	})
	made := guarded(func() (any, error) { return report.Make(a, place, now) })
	r, ok := made.Value.(*report.Report)
	if !ok {
		for _, name := range []string{"certificats", "autorites", "navigateurs"} {
			found[name] = made
		}
		return found
	}
	held := []certificate{}
	for _, one := range r.Certificates[:min(most, len(r.Certificates))] {
		held = append(held, certificate{clip(one.Name), one.State, one.End.UTC()})
	}
	found["certificats"] = Fact{Value: held}
	found["autorites"] = guarded(func() (any, error) {
		return points(r.Machine, func(item machine.Item) bool { return item.Kind == "authority" })
	})
	found["navigateurs"] = guarded(func() (any, error) {
		put, err := points(r.Machine, func(item machine.Item) bool {
			return item.Kind == "policy" || strings.Contains(item.Where, `\Policies\`)
		})
		return browsers{put, clips(r.Others)}, err
	})
	return found
}

func points(all []machine.Point, wanted func(machine.Item) bool) (placed, error) {
	found := placed{Absent: []string{}}
	none := true
	for _, point := range all {
		if !wanted(point.Item) {
			continue
		}
		none = false
		switch {
		case point.Fault != nil:
			return found, point.Fault
		case point.Present:
			found.Put++
		case len(found.Absent) < most:
			found.Absent = append(found.Absent, clip(point.What))
		}
	}
	if none {
		return found, errors.New("ce système n'en reçoit pas de ce programme")
	}
	return found, nil
}

// guarded reads one fact, in bounded time, whatever happens to it.
func guarded(read func() (any, error)) Fact {
	done := make(chan Fact, 1)
	go func() {
		defer func() {
			if fault := recover(); fault != nil {
				done <- Fact{Unread: clip(fmt.Sprint(fault))}
			}
		}()
		value, err := read()
		if err != nil {
			done <- Fact{Unread: clip(err.Error())}
			return
		}
		done <- Fact{Value: value}
	}()
	select {
	case found := <-done:
		return found
	case <-time.After(patience):
		return Fact{Unread: fmt.Sprintf("pas de réponse en %v", patience)}
	}
}

// clip bounds a text, of printable characters alone.
func clip(text string) string {
	kept := make([]rune, 0, longest)
	for _, one := range text {
		if len(kept) == longest {
			break
		}
		if !unicode.IsPrint(one) {
			one = ' '
		}
		kept = append(kept, one)
	}
	return string(kept)
}

func clips(all []string) []string {
	kept := []string{}
	for _, one := range all[:min(most, len(all))] {
		kept = append(kept, clip(one))
	}
	return kept
}

// Signed is what is sent: a text, and the signature of its octets (RSA PKCS#1 v1.5, or ECDSA; SHA-256).
type Signed struct {
	Text      string `json:"signe"`
	Signature string `json:"signature"` // base64
}

type told struct {
	What     string `json:"quoi"`
	Version  int    `json:"version"`
	PC       string `json:"poste"`
	Computer string `json:"nom"`
	Serial   string `json:"serie"` // of the certificate that signs, 40 hexadecimal digits
	Number   uint64 `json:"numero"`
	Made     string `json:"fait"`
	System   string `json:"systeme"`
	Facts    Facts  `json:"constats"`
}

// Sign makes what is sent. The number only grows: one that came before is known by it.
func Sign(key keys.Key, leaf *x509.Certificate, a *enrol.Account, system string, number uint64, found Facts, now time.Time) (*Signed, error) {
	content := told{kind, version, a.Config.PC, clip(a.Computer), fmt.Sprintf("%040x", leaf.SerialNumber), number,
		now.UTC().Format(time.RFC3339), system, found}
	text, err := json.Marshal(content)
	for name := range found { // what takes the most room goes first, and says so
		if len(text) <= Largest || err != nil {
			break
		}
		if one, _ := json.Marshal(found[name]); len(one) > Largest/len(found) {
			found[name] = Fact{Unread: "trop long pour être envoyé"}
			text, err = json.Marshal(content)
		}
	}
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(text)
	signature, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	return &Signed{string(text), base64.StdEncoding.EncodeToString(signature)}, nil
}

// Bounds of when the next ones are sent: each day, at an hour that nobody foresees.
const (
	first   = 2 * time.Minute
	firstTo = time.Hour
	daily   = 16 * time.Hour
	dailyTo = 26 * time.Hour
)

// Next is when they are to be sent again; a last time of the future, which a wrong clock wrote, counts as none.
func Next(last, now time.Time) time.Time {
	if last.IsZero() || last.After(now) {
		return now.Add(drawn(first, firstTo))
	}
	next := last.Add(drawn(daily, dailyTo))
	if soon := now.Add(drawn(first, firstTo)); next.Before(soon) {
		return soon
	}
	return next
}

// Again is when they are tried once more.
func Again(now time.Time) time.Time { return now.Add(drawn(firstTo, 2*firstTo)) }

func drawn(from, to time.Duration) time.Duration {
	more, err := rand.Int(rand.Reader, big.NewInt(int64(to-from)))
	if err != nil {
		return to
	}
	return from + time.Duration(more.Int64())
}
