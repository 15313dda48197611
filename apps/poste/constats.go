package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"creatic-poste/internal/config"
	"creatic-poste/internal/door"
	"creatic-poste/internal/durable"
	"creatic-poste/internal/enrol"
	"creatic-poste/internal/facts"
	"creatic-poste/internal/keys"
	"creatic-poste/internal/machine"
	"creatic-poste/internal/refusal"
)

// look is how often the time is compared with when facts are due: a PC sleeps, and its clock is set.
const look = 5 * time.Minute

// sent is what an account remembers of the facts that it sent.
type sent struct {
	Number uint64    `json:"numero"`
	Last   time.Time `json:"envoye,omitzero"`
}

func sentFile() (string, error) {
	folder, err := machine.Folder()
	return filepath.Join(folder, "constats.json"), err
}

// readSent gives it; what is lost or damaged counts as nothing, and the number starts from the time, which is more.
func readSent(path string, now time.Time) sent {
	var found sent
	content, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(content, &found)
	}
	if err != nil {
		return sent{Number: uint64(max(now.Unix(), 0))}
	}
	return found
}

func (s sent) save(path string) error {
	content, err := json.Marshal(s)
	if err == nil {
		err = durable.Write(path, content, 0o600)
	}
	if err != nil {
		return refusal.New("etat", "%s ne peut pas être écrit (%v) : libérez de la place, puis recommencez.", path, err)
	}
	return nil
}

func (p *program) facts(ctx context.Context) (int, error) {
	if p.watch {
		return p.watchFacts(ctx)
	}
	a, free, err := p.open()
	if err != nil {
		return 0, err
	}
	defer free()
	var found facts.Facts
	said := "Rien n'est envoyé."
	if p.local {
		none := func() (time.Duration, error) { return 0, errors.New("la porte du groupement n'a pas été demandée") }
		found = facts.Collect(a, machine.Here(p.executable), none, time.Now())
	} else {
		if found, err = p.sendFacts(ctx, a); err != nil {
			return 0, err
		}
		said = "Ces constats sont envoyés au groupement."
	}
	if p.json {
		p.print(found)
		return refusal.Done, nil
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		one := found[name]
		if one.Unread != "" {
			fmt.Fprintf(p.out, "%s : non lu (%s)\n", name, one.Unread)
			continue
		}
		content, err := json.Marshal(one.Value)
		if err != nil {
			return 0, err
		}
		fmt.Fprintf(p.out, "%s : %s\n", name, content)
	}
	fmt.Fprintln(p.out, said)
	return refusal.Done, nil
}

// sendFacts signs what is found by the certificate that the groupement issued for this PC, and hands it to the door.
func (p *program) sendFacts(ctx context.Context, a *enrol.Account) (facts.Facts, error) {
	held, err := shownTo(a)
	if err != nil {
		return nil, err
	}
	key, err := a.Store.Open(held.Container)
	if err != nil {
		return nil, err
	}
	defer key.Close()
	client := door.New(a.Config, keys.TLS(key, append([]*x509.Certificate{held.Certificate}, a.Config.Issuers...)...))
	defer client.Close()
	if err := client.Seen(ctx); err != nil {
		return nil, err
	}
	found := facts.Collect(a, machine.Here(p.executable), func() (time.Duration, error) { return client.Gap(), nil }, time.Now())
	path, err := sentFile()
	if err != nil {
		return nil, err
	}
	state := readSent(path, time.Now())
	state.Number++
	if err := state.save(path); err != nil { // before it is used: no number serves twice
		return nil, err
	}
	signed, err := facts.Sign(key, held.Certificate, a, facts.System, state.Number, found, time.Now())
	if err != nil {
		return nil, err
	}
	if _, err := client.Post(ctx, "/constats", signed); err != nil {
		return nil, err
	}
	state.Last = time.Now()
	return found, state.save(path)
}

// shownTo is the certificate by which this PC is known at the door.
func shownTo(a *enrol.Account) (*keys.Installed, error) {
	for _, wanted := range a.Config.Certificates {
		if wanted.Source != config.Issued || wanted.Usage != config.Authentication {
			continue
		}
		held, err := a.Holds(wanted)
		if err != nil {
			return nil, err
		}
		if held != nil && time.Now().Before(held.Certificate.NotAfter) {
			return held, nil
		}
	}
	return nil, refusal.Waits("absent", "Ce compte n'a pas de certificat du groupement qui vaille : rien ne peut être signé, ni "+
		"envoyé ; creatic-poste session en demande un.")
}

// watchFacts sends each day, at an hour that nobody foresees, as long as the session lasts. What fails is tried again.
func (p *program) watchFacts(ctx context.Context) (int, error) {
	folder, err := machine.Folder()
	if err == nil {
		err = os.MkdirAll(folder, 0o700)
	}
	if err != nil {
		return 0, err
	}
	free, err := lock(filepath.Join(folder, "constats.verrou"))
	if err != nil {
		return refusal.Done, nil // another session of this account does it
	}
	defer free()
	path, err := sentFile()
	if err != nil {
		return 0, err
	}
	withoutWindow()
	due := facts.Next(readSent(path, time.Now()).Last, time.Now())
	for ticker := time.NewTicker(look); ; {
		select {
		case <-ctx.Done():
			ticker.Stop()
			return refusal.Done, nil
		case <-ticker.C:
		}
		if time.Now().Round(0).Before(due) {
			continue
		}
		if err := p.sendOnce(ctx); err != nil {
			due = facts.Again(time.Now())
			continue
		}
		due = facts.Next(time.Now(), time.Now())
	}
}

func (p *program) sendOnce(ctx context.Context) error {
	a, free, err := p.open()
	if err != nil {
		return err
	}
	defer free()
	_, err = p.sendFacts(ctx, a)
	return err
}
