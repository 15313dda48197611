package enrol

import (
	"encoding/json"
	"errors"
	"os"

	"creatic-poste/internal/durable"
	"creatic-poste/internal/refusal"
)

// Held is a certificate that the program put, and the container of its key.
type Held struct {
	Container   string   `json:"conteneur"`
	Fingerprint string   `json:"empreinte,omitempty"` // SHA-256; empty: the certificate is not there yet
	Above       []string `json:"autorites,omitempty"` // PEM, intermediate authorities that it added
}

// Entry is what the account has of one certificate of the PC's file.
type Entry struct {
	Current *Held  `json:"courant,omitempty"`
	Pending *Held  `json:"demande,omitempty"` // its key is named before it is born: a power cut leaves one, not two
	Former  []Held `json:"anciens,omitempty"` // to remove, the new one works
}

// State is the account's part, in a file of its own folder.
type State struct {
	path    string
	Entries map[string]*Entry `json:"certificats"`
}

// ReadState reads the account's part; no file is an empty one.
func ReadState(path string) (*State, error) {
	s := &State{path: path, Entries: map[string]*Entry{}}
	content, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(content, s)
	}
	if err != nil {
		return nil, refusal.New("etat", "%s ne se lit pas (%v) : renommez-le et recommencez ; le groupement donnera un nouvel "+
			"installateur.", path, err)
	}
	if s.Entries == nil {
		s.Entries = map[string]*Entry{}
	}
	return s, nil
}

// Of gives what is known of a certificate, by its name.
func (s *State) Of(name string) *Entry {
	if s.Entries[name] == nil {
		s.Entries[name] = &Entry{}
	}
	return s.Entries[name]
}

func (s *State) save() error {
	content, err := json.MarshalIndent(s, "", "  ")
	if err == nil {
		err = durable.Write(s.path, append(content, '\n'), 0o600)
	}
	if err != nil {
		return refusal.New("etat", "%s ne peut pas être écrit (%v) : libérez de la place, puis recommencez.", s.path, err)
	}
	return nil
}
