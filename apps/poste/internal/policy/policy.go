// Package policy decides what browsers' policies become: what another provider has set stays, and is told.
package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// AutoSelect gives the entries of AutoSelectCertificateForUrls (Chrome, Edge) for one origin. A filter names the holder,
// and the issuer where it is known, so that another certificate of the clerk is never shown there.
//
// Args: holders' common names, each with its issuers' common names, if they are known.
func AutoSelect(origin string, holders []Holder) []string {
	var entries []string
	for _, holder := range holders {
		subject := map[string]string{"CN": holder.Name}
		if len(holder.Issuers) == 0 {
			entries = append(entries, entry(origin, map[string]any{"SUBJECT": subject}))
		}
		for _, issuer := range holder.Issuers {
			entries = append(entries, entry(origin, map[string]any{"SUBJECT": subject, "ISSUER": map[string]string{"CN": issuer}}))
		}
	}
	return entries
}

// Holder is whom a certificate names, and who may have issued it.
type Holder struct {
	Name    string
	Issuers []string
}

func entry(origin string, filter map[string]any) string {
	return encode(map[string]any{"pattern": origin, "filter": filter})
}

// MergeList says which numbered values a list policy of the registry lacks.
//
// Args: the values that are there, by name; the entries wanted (JSON).
// Gives the values to add, by a free number, and what another has set that may be seen instead, in French.
func MergeList(there map[string]string, ours map[string]bool, wanted []string) (add map[string]string, told []string) {
	add = map[string]string{}
	patterns := map[string]bool{}
	number := 1
	for _, text := range wanted {
		patterns[pattern(text)] = true
		if slices.ContainsFunc(slices.Collect(maps.Values(there)), func(other string) bool { return Same(other, text) }) {
			continue
		}
		for there[strconv.Itoa(number)] != "" || add[strconv.Itoa(number)] != "" {
			number++
		}
		add[strconv.Itoa(number)] = text
	}
	for _, name := range slices.Sorted(maps.Keys(there)) {
		text := there[name]
		isWanted := slices.ContainsFunc(wanted, func(one string) bool { return Same(one, text) })
		switch {
		case isWanted || ours[name]:
		case pattern(text) == "":
			told = append(told, fmt.Sprintf("la valeur %s n'est pas lisible (%s) : gardée, le navigateur l'ignore", name, text))
		case patterns[pattern(text)]:
			told = append(told, fmt.Sprintf("la valeur %s choisit déjà un certificat pour %s : gardée ; le navigateur peut "+
				"montrer l'un ou l'autre (%s)", name, pattern(text), text))
		default:
			told = append(told, fmt.Sprintf("la valeur %s est d'un autre, pour %s : gardée", name, pattern(text)))
		}
	}
	return add, told
}

func pattern(text string) string {
	var one struct {
		Pattern string `json:"pattern"`
	}
	if json.Unmarshal([]byte(text), &one) != nil {
		return ""
	}
	return strings.TrimSuffix(one.Pattern, "/")
}

// Same tells whether two texts are the same JSON, or the same text.
func Same(one, other string) bool {
	if one == other {
		return true
	}
	left, err := decode([]byte(one))
	if err != nil {
		return false
	}
	right, err := decode([]byte(other))
	return err == nil && reflect.DeepEqual(left, right)
}

// Firefox gives the policies that make Firefox use Windows' authorities and certificates, and show the TdT's unasked:
// JSON values by path in policies.json.
func Firefox() map[string]string {
	locked := func(value any) string { return encode(map[string]any{"Value": value, "Status": "locked"}) }
	return map[string]string{
		"policies/Certificates/ImportEnterpriseRoots":          "true",
		"policies/Preferences/security.default_personal_cert":  locked("Select Automatically"),
		"policies/Preferences/security.osclientcerts.autoload": locked(true),
	}
}

// Document is a policies.json.
type Document struct{ root map[string]any }

// Open reads one; no content is an empty one.
func Open(content []byte) (*Document, error) {
	if len(bytes.TrimSpace(content)) == 0 {
		return &Document{map[string]any{}}, nil
	}
	found, err := decode(content)
	if err != nil {
		return nil, err
	}
	root, ok := found.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("ce n'est pas un objet JSON")
	}
	return &Document{root}, nil
}

// Get gives the value at a path, as JSON; empty: there is none.
func (d *Document) Get(path string) string {
	var value any = d.root
	for name := range strings.SplitSeq(path, "/") {
		folder, ok := value.(map[string]any)
		if !ok {
			return ""
		}
		if value, ok = folder[name]; !ok {
			return ""
		}
	}
	return encode(value)
}

// Set puts a JSON value at a path; it refuses to replace anything that is no object on the way.
func (d *Document) Set(path, text string) error {
	value, err := decode([]byte(text))
	if err != nil {
		return err
	}
	names := strings.Split(path, "/")
	folder := d.root
	for _, name := range names[:len(names)-1] {
		below, there := folder[name]
		if !there {
			below = map[string]any{}
			folder[name] = below
		}
		next, ok := below.(map[string]any)
		if !ok {
			return fmt.Errorf("« %s » n'y est pas un objet", name)
		}
		folder = next
	}
	folder[names[len(names)-1]] = value
	return nil
}

// Remove takes the value at a path away, and the objects above that it leaves empty.
func (d *Document) Remove(path string) { remove(d.root, strings.Split(path, "/")) }

func remove(folder map[string]any, names []string) {
	if len(names) == 1 {
		delete(folder, names[0])
		return
	}
	below, ok := folder[names[0]].(map[string]any)
	if !ok {
		return
	}
	remove(below, names[1:])
	if len(below) == 0 {
		delete(folder, names[0])
	}
}

// Empty tells whether nothing is in it.
func (d *Document) Empty() bool { return len(d.root) == 0 }

// Content is its text.
func (d *Document) Content() []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(d.root) // decoded JSON is always encoded
	return out.Bytes()
}

func decode(content []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(content, []byte("\ufeff"))))
	decoder.UseNumber()
	var found any
	if err := decoder.Decode(&found); err != nil {
		return nil, err
	}
	if decoder.More() {
		return nil, fmt.Errorf("du texte suit le JSON")
	}
	return found, nil
}

func encode(value any) string {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(value)
	return strings.TrimSpace(out.String())
}
