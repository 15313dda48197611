// Package machine puts the machine's part, for all accounts of a PC: authorities, browsers' policies, what opens « creatic: »
// and what is called when a session opens. Its manifest says what it put, and that alone is ever removed.
package machine

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"creatic-poste/internal/durable"
	"creatic-poste/internal/policy"
	"creatic-poste/internal/refusal"
)

// Item is one thing that is put.
type Item struct {
	Kind  string `json:"genre"`         // authority, value, key, policy, file, folder
	Where string `json:"ou"`            // store, registry key, file or folder
	Name  string `json:"nom,omitempty"` // registry value, or path of the policy in its file
	Data  string `json:"contenu"`       // PEM, text or JSON
}

func (i Item) same(other Item) bool {
	return i.Kind == other.Kind && i.Where == other.Where && i.Name == other.Name && policy.Same(i.Data, other.Data)
}

func (i Item) place() Item { return Item{Kind: i.Kind, Where: i.Where, Name: i.Name} }

// Report is what was found, done, or not.
type Report struct {
	Done   []string `json:"fait"`   // put or removed
	Kept   []string `json:"garde"`  // another's, left as it is
	Failed []string `json:"echoue"` // each names its fix
}

// target does and undoes the items of one system.
type target interface {
	// read gives what is at an item's place; nil: nothing.
	read(item Item) (*Item, error)
	// above gives the keys, folders and files that must be made first; they lack.
	above(item Item) ([]Item, error)
	put(item Item) error
	// take removes an item that is as it was put; a container only if it is empty.
	take(item Item) error
}

type manifest struct {
	path  string
	Items []Item `json:"pose"`
}

func readManifest(path string) (*manifest, error) {
	m := &manifest{path: path}
	content, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return m, nil
	}
	if err == nil {
		err = json.Unmarshal(content, m)
	}
	if err != nil {
		return nil, refusal.New("manifeste", "%s ne se lit pas (%v) : rien n'a été changé ; prévenez le groupement.", path, err)
	}
	return m, nil
}

func (m *manifest) save() error {
	content, err := json.MarshalIndent(m, "", "  ")
	if err == nil {
		err = durable.Write(m.path, append(content, '\n'), 0o644)
	}
	if err != nil {
		return refusal.New("manifeste", "%s ne peut pas être écrit (%v) : lancez cette commande en administrateur.", m.path, err)
	}
	return nil
}

func (m *manifest) at(item Item) int {
	return slices.IndexFunc(m.Items, func(one Item) bool { return one.place() == item.place() })
}

// settle makes a machine have these items: those that lack are put, those that another put are kept, and those that the
// manifest has and are no longer wanted are removed. One that fails never keeps the others.
func settle(t target, m *manifest, wanted []Item) (*Report, error) {
	r := &Report{Done: []string{}, Kept: []string{}, Failed: []string{}}
	needed := map[Item]bool{}
	for _, item := range wanted {
		needed[item.place()] = true
		if err := ensure(t, m, item, r); err != nil {
			return r, err
		}
	}
	for rank := len(m.Items) - 1; rank >= 0; rank-- {
		item := m.Items[rank]
		if needed[item.place()] || container(item) {
			continue
		}
		if !undo(t, item, r) {
			continue
		}
		m.Items = slices.Delete(m.Items, rank, rank+1)
		if err := m.save(); err != nil {
			return r, err
		}
	}
	return r, sweep(t, m, r)
}

func container(item Item) bool {
	return item.Kind == "key" || item.Kind == "file" || item.Kind == "folder"
}

func ensure(t target, m *manifest, item Item, r *Report) error {
	there, err := t.read(item)
	if err != nil {
		r.Failed = append(r.Failed, fmt.Sprintf("%s : %v", item.Where, err))
		return nil
	}
	rank := m.at(item)
	if there != nil && there.same(item) {
		return nil // ours of before, or another's that says the same
	}
	if there != nil && (rank < 0 || !m.Items[rank].same(*there)) {
		r.Kept = append(r.Kept, fmt.Sprintf("%s, %s : un autre y a mis %s ; gardé, et non %s", item.Where, item.Name, there.Data, item.Data))
		return nil
	}
	missing, err := t.above(item)
	if err != nil {
		r.Failed = append(r.Failed, fmt.Sprintf("%s : %v", item.Where, err))
		return nil
	}
	for _, one := range append(missing, item) {
		// Written down first: after a power cut, what is there is known.
		before := slices.Clone(m.Items)
		if rank := m.at(one); rank >= 0 {
			m.Items[rank] = one
		} else {
			m.Items = append(m.Items, one)
		}
		if err := m.save(); err != nil {
			return err
		}
		if err := t.put(one); err != nil {
			m.Items = before
			r.Failed = append(r.Failed, fmt.Sprintf("%s : %v", one.Where, err))
			return m.save()
		}
	}
	r.Done = append(r.Done, "posé : "+describe(item))
	return nil
}

// undo removes an item if it is still as it was put; false: it could not be, and stays in the manifest.
func undo(t target, item Item, r *Report) bool {
	there, err := t.read(item)
	if err == nil && there != nil && !there.same(item) {
		r.Kept = append(r.Kept, fmt.Sprintf("%s, %s : un autre l'a changé depuis ; laissé", item.Where, item.Name))
		return true
	}
	if err == nil && there != nil {
		err = t.take(item)
		if err == nil {
			r.Done = append(r.Done, "retiré : "+describe(item))
		}
	}
	if err != nil {
		r.Failed = append(r.Failed, fmt.Sprintf("%s : %v", item.Where, err))
		return false
	}
	return true
}

// sweep removes the keys, files and folders that were made, nothing of ours being in them any more, if nothing of others is.
func sweep(t target, m *manifest, r *Report) error {
	for rank := len(m.Items) - 1; rank >= 0; rank-- {
		item := m.Items[rank]
		if !container(item) || slices.ContainsFunc(m.Items, func(one Item) bool { return !container(one) && under(item, one) }) {
			continue
		}
		if err := t.take(item); err != nil {
			r.Failed = append(r.Failed, fmt.Sprintf("%s : %v", item.Where, err))
			continue
		}
		m.Items = slices.Delete(m.Items, rank, rank+1)
		if err := m.save(); err != nil {
			return err
		}
	}
	return nil
}

func under(above, item Item) bool {
	if item.Where == above.Where {
		return true
	}
	rest, found := strings.CutPrefix(item.Where, above.Where)
	return found && (rest[0] == '\\' || rest[0] == '/')
}

func describe(item Item) string {
	if item.Kind == "authority" {
		return fmt.Sprintf("autorité « %s » (%s)", authorityName(item.Data), item.Where)
	}
	if item.Name == "" {
		return item.Where
	}
	return item.Where + ", " + item.Name
}

// leave removes a folder of ours, and the one above, if nothing is in them.
func leave(folder string) {
	if os.Remove(folder) == nil {
		_ = os.Remove(filepath.Dir(folder))
	}
}

// Leave removes an account's folder, whose certificates and keys are gone.
func Leave(folder string) {
	for _, name := range []string{"etat.json", "verrou", "verrou-signature", "constats.json", "constats.verrou", "certificats"} {
		_ = os.Remove(filepath.Join(folder, name))
	}
	leave(folder)
}

// removeAll takes away what the manifest says, then the manifest.
func removeAll(t target, m *manifest) (*Report, error) {
	r, err := settle(t, m, nil)
	if err == nil && len(m.Items) == 0 {
		err = absent(os.Remove(m.path))
		leave(filepath.Dir(m.path))
	}
	return r, err
}
