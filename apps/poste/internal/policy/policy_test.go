package policy

import (
	"strings"
	"testing"
)

func TestAListIsMergedOnFreeNumbersAndOthersAreTold(t *testing.T) {
	wanted := AutoSelect("https://tdt", []Holder{{"Jeanne", []string{"A", "B"}}, {Name: "Paul"}})
	if len(wanted) != 3 {
		t.Fatal(wanted)
	}
	there := map[string]string{
		"1": `{"filter":{},"pattern":"https://autre"}`, "3": `{"pattern":"https://tdt/","filter":{}}`, "4": "rien de lisible",
		"5": `{ "filter": {"SUBJECT": {"CN": "Paul"}}, "pattern": "https://tdt" }`,
	}
	add, told := MergeList(there, nil, wanted)
	if len(add) != 2 || add["2"] != wanted[0] || add["6"] != wanted[1] {
		t.Error(add)
	}
	text := strings.Join(told, "\n")
	for _, words := range []string{"valeur 1 est d'un autre", "valeur 3 choisit déjà", "valeur 4 n'est pas lisible"} {
		if !strings.Contains(text, words) {
			t.Error(words, text)
		}
	}
	if strings.Contains(text, "valeur 5") {
		t.Error(text)
	}
}

func TestADocumentKeepsWhatIsOthers(t *testing.T) {
	const theirs = `{"policies": {"Preferences": {"a": 12345678901234567890}, "Certificates": true}}`
	d, err := Open([]byte(theirs))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Set("policies/Preferences/b", `"x"`); err != nil {
		t.Error(err)
	}
	if err := d.Set("policies/Certificates/c", "true"); err == nil {
		t.Error("another's value was replaced")
	}
	if d.Get("policies/Preferences/b") != `"x"` || d.Get("policies/absent/b") != "" {
		t.Error(string(d.Content()))
	}
	d.Remove("policies/Preferences/b")
	if !Same(string(d.Content()), theirs) {
		t.Error(string(d.Content()))
	}
	for _, bad := range []string{"[]", "{", "{} {}"} {
		if _, err := Open([]byte(bad)); err == nil {
			t.Error(bad)
		}
	}
}
