package machine

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

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
	program := quoted(p.Program)
	scheme := fmt.Sprintf("[Desktop Entry]\nType=Application\nName=Signature\nExec=%s signer %%u\nMimeType=x-scheme-handler/creatic;\n"+
		"NoDisplay=true\n", program)
	session := fmt.Sprintf("[Desktop Entry]\nType=Application\nName=Certificats\nExec=%s session\nNoDisplay=true\n", program)
	daily := fmt.Sprintf("[Desktop Entry]\nType=Application\nName=Constats\nExec=%s constats --veille\nNoDisplay=true\n", program)
	return []Item{
		{Kind: "text", Where: p.path("/usr/share/applications/creatic-poste.desktop"), Data: scheme},
		{Kind: "text", Where: p.path("/etc/xdg/autostart/creatic-poste.desktop"), Data: session},
		{Kind: "text", Where: p.path("/etc/xdg/autostart/creatic-poste-constats.desktop"), Data: daily},
	}, nil, nil
}

// quoted writes a program as a key Exec has it: without quotes where none is needed, as xdg-open looks for the file whose
// name has them (https://specifications.freedesktop.org/desktop-entry-spec/latest/exec-variables.html).
func quoted(program string) string {
	if strings.ContainsAny(program, " \t\n\"'\\><~|&;$*?#()`%=") {
		return strconv.Quote(program)
	}
	return program
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
