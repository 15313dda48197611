package machine

import (
	"fmt"
	"os"
	"path/filepath"

	"creatic-poste/internal/config"
)

// Place is where the machine's part is.
type Place struct {
	Program string // this program's path
	Root    string // before each path; empty: the machine's own files
}

// Limits says what this system's part leaves to others.
const Limits = "Sous Linux, les autorités et les règles des navigateurs sont posées par le rôle commune_pc, et leurs magasins NSS " +
	"restent les siens : ce programme n'y touche pas."

// Here is the machine's own.
func Here(program string) Place { return Place{Program: program} }

func (p Place) path(name string) string { return filepath.Join(p.Root, name) }

func (p Place) manifest() string { return p.path("/var/lib/creatic/poste/manifeste.json") }

func (p Place) wanted(*config.Config) ([]Item, []string, error) {
	scheme := fmt.Sprintf("[Desktop Entry]\nType=Application\nName=Signature\nExec=%q signer %%u\nMimeType=x-scheme-handler/creatic;\n"+
		"NoDisplay=true\n", p.Program)
	session := fmt.Sprintf("[Desktop Entry]\nType=Application\nName=Certificats\nExec=%q session\nNoDisplay=true\n", p.Program)
	daily := fmt.Sprintf("[Desktop Entry]\nType=Application\nName=Constats\nExec=%q constats --veille\nNoDisplay=true\n", p.Program)
	return []Item{
		{Kind: "text", Where: p.path("/usr/share/applications/creatic-poste.desktop"), Data: scheme},
		{Kind: "text", Where: p.path("/etc/xdg/autostart/creatic-poste.desktop"), Data: session},
		{Kind: "text", Where: p.path("/etc/xdg/autostart/creatic-poste-constats.desktop"), Data: daily},
	}, nil, nil
}

func (p Place) target() target { return files{} }

// Folder is where an account's part is.
func Folder() (string, error) {
	if data := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(data) {
		return filepath.Join(data, "creatic", "poste"), nil
	}
	home, err := os.UserHomeDir()
	return filepath.Join(home, ".local", "share", "creatic", "poste"), err
}
