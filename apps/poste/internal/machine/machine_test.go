package machine

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"creatic-poste/internal/policy"
)

func items(folder string) []Item {
	return []Item{
		{"text", filepath.Join(folder, "neuf", "dessous", "a.desktop"), "", "texte"},
		{"policy", filepath.Join(folder, "firefox", "policies.json"), "policies/X/y", "true"},
	}
}

func settled(t *testing.T, path string, wanted []Item) *Report {
	t.Helper()
	m, err := readManifest(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := settle(files{}, m, wanted)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func removed(t *testing.T, path string) *Report {
	t.Helper()
	m, err := readManifest(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := removeAll(files{}, m)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func names(t *testing.T, folder string) []string {
	t.Helper()
	var found []string
	_ = filepath.Walk(folder, func(path string, _ os.FileInfo, _ error) error {
		found = append(found, path)
		return nil
	})
	return found[1:]
}

func TestWhatIsPutIsTakenAwayWithItsFolders(t *testing.T) {
	folder, manifest := t.TempDir(), filepath.Join(t.TempDir(), "manifeste.json")
	if r := settled(t, manifest, items(folder)); len(r.Done) != 2 || len(r.Failed) != 0 {
		t.Fatal(r)
	}
	if r := settled(t, manifest, items(folder)); len(r.Done) != 0 {
		t.Error(r)
	}
	removed(t, manifest)
	if found := names(t, folder); len(found) != 0 {
		t.Error(found)
	}
	if _, err := os.Stat(manifest); err == nil {
		t.Error("the manifest stays")
	}
}

func TestWhatIsOthersStays(t *testing.T) {
	folder, manifest := t.TempDir(), filepath.Join(t.TempDir(), "manifeste.json")
	wanted := items(folder)
	if err := os.Mkdir(filepath.Join(folder, "firefox"), 0o755); err != nil {
		t.Fatal(err)
	}
	const theirs = `{"policies": {"X": {"y": false, "z": 1}}}`
	if err := os.WriteFile(wanted[1].Where, []byte(theirs), 0o644); err != nil {
		t.Fatal(err)
	}
	r := settled(t, manifest, wanted)
	if len(r.Kept) != 1 || !strings.Contains(r.Kept[0], "false") {
		t.Error(r)
	}
	if err := os.WriteFile(filepath.Join(folder, "neuf", "autre"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	removed(t, manifest)
	content, _ := os.ReadFile(wanted[1].Where)
	if !policy.Same(string(content), theirs) {
		t.Error(string(content))
	}
	if _, err := os.Stat(filepath.Join(folder, "neuf", "autre")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(folder, "neuf", "dessous")); err == nil {
		t.Error("a folder of ours stays")
	}
}

func TestWhatIsChangedSinceIsTheirs(t *testing.T) {
	folder, manifest := t.TempDir(), filepath.Join(t.TempDir(), "manifeste.json")
	wanted := items(folder)
	settled(t, manifest, wanted)
	if err := os.WriteFile(wanted[0].Where, []byte("autre"), 0o644); err != nil {
		t.Fatal(err)
	}
	if r := settled(t, manifest, wanted); len(r.Kept) != 1 {
		t.Error(r)
	}
	if r := removed(t, manifest); len(r.Kept) != 1 {
		t.Error(r)
	}
	if content, _ := os.ReadFile(wanted[0].Where); string(content) != "autre" {
		t.Error(string(content))
	}
}

func TestWhatIsNoLongerWantedGoesAndANewTextReplacesOurs(t *testing.T) {
	folder, manifest := t.TempDir(), filepath.Join(t.TempDir(), "manifeste.json")
	wanted := items(folder)
	settled(t, manifest, wanted)
	wanted[0].Data = "nouveau"
	settled(t, manifest, wanted[:1])
	if content, _ := os.ReadFile(wanted[0].Where); string(content) != "nouveau" {
		t.Error(string(content))
	}
	if _, err := os.Stat(wanted[1].Where); err == nil {
		t.Error("the policy stays")
	}
}

func TestAPowerCutAfterTheManifestIsTakenUpAgain(t *testing.T) {
	folder, manifest := t.TempDir(), filepath.Join(t.TempDir(), "manifeste.json")
	wanted := items(folder)
	// What is written down first, nothing of it being there yet.
	content, _ := json.Marshal(map[string]any{"pose": []Item{{Kind: "folder", Where: filepath.Join(folder, "neuf")}, wanted[0]}})
	if err := os.WriteFile(manifest, content, 0o644); err != nil {
		t.Fatal(err)
	}
	if r := settled(t, manifest, wanted); len(r.Failed) != 0 || len(r.Done) != 2 {
		t.Error(r)
	}
	removed(t, manifest)
	if found := names(t, folder); len(found) != 0 {
		t.Error(found)
	}
}

func TestOneThatFailsKeepsNoOther(t *testing.T) {
	folder, manifest := t.TempDir(), filepath.Join(t.TempDir(), "manifeste.json")
	wanted := items(folder)
	if err := os.WriteFile(filepath.Join(folder, "neuf"), nil, 0o644); err != nil { // a file where a folder must be
		t.Fatal(err)
	}
	r := settled(t, manifest, wanted)
	if len(r.Failed) != 1 || len(r.Done) != 1 {
		t.Error(r)
	}
}
