package machine

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"creatic-poste/internal/config"
	"creatic-poste/internal/keys"
	"creatic-poste/internal/policy"
)

// Place is where the machine's part is.
type Place struct{ Program string }

// Limits says what this system's part leaves to others.
const Limits = ""

const (
	classes = `SOFTWARE\Classes\creatic`
	run     = `SOFTWARE\Microsoft\Windows\CurrentVersion\Run`
	list    = "AutoSelectCertificateForUrls"
)

// Browsers that read the registry: name, and key of their policies.
var browsers = []struct{ name, key string }{
	{"Chrome", `SOFTWARE\Policies\Google\Chrome`},
	{"Edge", `SOFTWARE\Policies\Microsoft\Edge`},
}

// Here is the machine's own.
func Here(program string) Place { return Place{program} }

// manifest is beside the program: who may write one may write the other. In %ProgramData% any account makes files, and an
// administrator's program would remove what somebody else's list says.
func (p Place) manifest() string { return filepath.Join(filepath.Dir(p.Program), "manifeste.json") }

// Folder is where an account's part is.
func Folder() (string, error) {
	data := os.Getenv("LOCALAPPDATA")
	if data == "" {
		return "", errors.New("LOCALAPPDATA n'est pas donné")
	}
	return filepath.Join(data, "Creatic", "poste"), nil
}

// wanted gives what this PC must have, and what another has set beside it.
func (p Place) wanted(c *config.Config) ([]Item, []string, error) {
	var items []Item
	for _, one := range slices.Concat(c.Roots, c.Issuers, c.TdTRoots) {
		store := "CA"
		if selfSigned(one) {
			store = "Root"
		}
		items = append(items, Item{Kind: "authority", Where: store, Name: keys.Fingerprint(one), Data: pemOf(one)})
	}
	entries := policy.AutoSelect(c.TdT, holders(c))
	m, err := readManifest(p.manifest())
	if err != nil {
		return nil, nil, err
	}
	var told []string
	for _, browser := range browsers {
		key := browser.key + `\` + list
		there, err := values(key)
		if err != nil {
			return nil, nil, err
		}
		ours := map[string]bool{}
		for _, item := range m.Items {
			if item.Kind == "value" && item.Where == key && policy.Same(there[item.Name], item.Data) {
				ours[item.Name] = true
			}
		}
		add, others := policy.MergeList(there, ours, entries)
		for _, name := range slices.Sorted(maps.Keys(add)) {
			items = append(items, Item{Kind: "value", Where: key, Name: name, Data: add[name]})
		}
		for _, name := range slices.Sorted(maps.Keys(ours)) { // those that stay wanted
			if slices.ContainsFunc(entries, func(one string) bool { return policy.Same(one, there[name]) }) {
				items = append(items, Item{Kind: "value", Where: key, Name: name, Data: there[name]})
			}
		}
		for _, other := range others {
			told = append(told, browser.name+", "+list+" : "+other)
		}
	}
	for _, folder := range firefoxes() {
		wanted := policy.Firefox()
		for _, name := range slices.Sorted(maps.Keys(wanted)) {
			items = append(items, Item{Kind: "policy", Where: filepath.Join(folder, "distribution", "policies.json"), Name: name,
				Data: wanted[name]})
		}
	}
	program := p.windowless()
	return append(items,
		Item{Kind: "value", Where: classes, Name: "", Data: "URL:creatic"},
		Item{Kind: "value", Where: classes, Name: "URL Protocol", Data: ""},
		Item{Kind: "value", Where: classes + `\shell\open\command`, Name: "", Data: fmt.Sprintf(`"%s" signer "%%1"`, program)},
		Item{Kind: "value", Where: run, Name: "creatic-poste", Data: fmt.Sprintf(`"%s" session`, program)},
		Item{Kind: "value", Where: run, Name: "creatic-poste-constats", Data: fmt.Sprintf(`"%s" constats --veille`, program)},
	), told, nil
}

// windowless is the same program without a console, if the installer put it beside: what Windows calls by itself shows no
// window then.
func (p Place) windowless() string {
	folder, name := filepath.Split(p.Program)
	stem := strings.TrimSuffix(strings.TrimSuffix(name, filepath.Ext(name)), "w")
	twin := filepath.Join(folder, stem+"w.exe")
	if _, err := os.Stat(twin); err != nil {
		return p.Program
	}
	return twin
}

func holders(c *config.Config) []policy.Holder {
	var found []policy.Holder
	for _, one := range c.Certificates {
		if one.Usage != config.Authentication {
			continue
		}
		holder := policy.Holder{Name: one.Holder}
		if one.Source == config.Issued {
			for _, above := range c.Issuers {
				holder.Issuers = append(holder.Issuers, above.Subject.CommonName)
			}
		}
		found = append(found, holder)
	}
	return found
}

func firefoxes() []string {
	var found []string
	for _, name := range []string{"ProgramFiles", "ProgramFiles(x86)"} {
		folder := filepath.Join(os.Getenv(name), "Mozilla Firefox")
		if _, err := os.Stat(filepath.Join(folder, "firefox.exe")); err == nil && !slices.Contains(found, folder) {
			found = append(found, folder)
		}
	}
	return found
}

type windows struct{ files }

func (p Place) target() target { return windows{} }

func (w windows) read(item Item) (*Item, error) {
	switch item.Kind {
	case "authority":
		certificate, err := authorityOf(item.Data)
		if err != nil {
			return nil, err
		}
		there, err := keys.InMachine(item.Where, certificate)
		if err != nil || !there {
			return nil, err
		}
		return &item, nil
	case "value":
		found := item
		data, there, err := value(item.Where, item.Name)
		if err != nil || !there {
			return nil, err
		}
		found.Data = data
		return &found, nil
	}
	return w.files.read(item)
}

func (w windows) above(item Item) ([]Item, error) {
	switch item.Kind {
	case "authority":
		return nil, nil
	case "value":
		var missing []Item
		for key := item.Where; strings.Contains(key, `\`); key = key[:strings.LastIndex(key, `\`)] {
			there, err := hasKey(key)
			if err != nil {
				return nil, err
			}
			if there {
				break
			}
			missing = append([]Item{{Kind: "key", Where: key}}, missing...)
		}
		return missing, nil
	}
	return w.files.above(item)
}

func (w windows) put(item Item) error {
	switch item.Kind {
	case "authority":
		certificate, err := authorityOf(item.Data)
		if err == nil {
			_, err = keys.AddMachine(item.Where, certificate)
		}
		return asAdministrator(err)
	case "key":
		return asAdministrator(createKey(item.Where))
	case "value":
		return asAdministrator(setValue(item.Where, item.Name, item.Data))
	}
	return asAdministrator(w.files.put(item))
}

func (w windows) take(item Item) error {
	switch item.Kind {
	case "authority":
		certificate, err := authorityOf(item.Data)
		if err == nil {
			err = keys.TakeMachine(item.Where, certificate)
		}
		return asAdministrator(err)
	case "key":
		return asAdministrator(deleteEmptyKey(item.Where))
	case "value":
		return asAdministrator(deleteValue(item.Where, item.Name))
	}
	return asAdministrator(w.files.take(item))
}

func asAdministrator(err error) error {
	if errors.Is(err, syscall.ERROR_ACCESS_DENIED) || errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("refusé : lancez cette commande en administrateur")
	}
	return err
}
