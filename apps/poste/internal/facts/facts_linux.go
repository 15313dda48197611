package facts

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// System is this one's name.
const System = "linux"

const file = 1 << 20 // bytes that are read of one

func own() map[string]func() (any, error) {
	none := func() (any, error) { return nil, fmt.Errorf("rien n'en est lu sous Linux") }
	return map[string]func() (any, error){
		"systeme": osRelease, "disque": space, "mises_a_jour": upgrades, "administrateurs": sudoers, "chiffrement": luks,
		"antivirus": none, "pare_feu": none, "smb1": none, "verrouillage": none,
	}
}

func lines(path string) ([]string, error) {
	opened, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	var found []string
	for read := bufio.NewScanner(&limited{opened, file}); read.Scan(); {
		found = append(found, read.Text())
	}
	return found, nil
}

type limited struct {
	from *os.File
	left int
}

func (l *limited) Read(into []byte) (int, error) {
	if l.left <= 0 {
		return 0, errors.New("trop long")
	}
	count, err := l.from.Read(into[:min(l.left, len(into))])
	l.left -= count
	return count, err
}

func osRelease() (any, error) {
	all, err := lines("/etc/os-release")
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for _, line := range all {
		name, value, _ := strings.Cut(line, "=")
		values[name] = clip(strings.Trim(value, `"'`))
	}
	return system{Family: values["ID"], Name: values["PRETTY_NAME"], Version: values["VERSION_ID"]}, nil
}

func space() (any, error) {
	var found syscall.Statfs_t
	if err := syscall.Statfs("/", &found); err != nil {
		return nil, err
	}
	return disk{found.Bavail * uint64(found.Bsize), found.Blocks * uint64(found.Bsize)}, nil
}

func upgrades() (any, error) {
	stamp, err := os.Stat("/var/lib/apt/periodic/unattended-upgrades-stamp")
	if err != nil {
		return nil, fmt.Errorf("les mises à jour automatiques n'ont pas laissé de date")
	}
	_, err = os.Stat("/run/reboot-required")
	return updates{stamp.ModTime().UTC().Truncate(time.Second), err == nil}, nil
}

func sudoers() (any, error) {
	found := administrators{Members: []administrator{}}
	names := []string{}
	accounts, err := lines("/etc/passwd")
	if err != nil {
		return nil, err
	}
	for _, line := range accounts {
		if fields := strings.Split(line, ":"); len(fields) > 2 && fields[2] == "0" {
			names = append(names, fields[0])
		}
	}
	groups, err := lines("/etc/group")
	if err != nil {
		return nil, err
	}
	for _, line := range groups {
		if fields := strings.Split(line, ":"); len(fields) > 3 && fields[0] == "sudo" && fields[3] != "" {
			names = append(names, strings.Split(fields[3], ",")...)
		}
	}
	for _, name := range names[:min(most, len(names))] {
		found.Members = append(found.Members, administrator{clip(name), true})
	}
	here, err := user.Current()
	if err != nil {
		return nil, err
	}
	found.Session = slices.Contains(names, here.Username)
	return found, nil
}

// luks tells whether the system's file system is on an encrypted device, whatever is between.
func luks() (any, error) {
	var root syscall.Stat_t
	if err := syscall.Stat("/", &root); err != nil {
		return nil, err
	}
	major, minor := root.Dev>>8&0xfff, root.Dev&0xff|root.Dev>>12&0xfff00
	device := fmt.Sprintf("/sys/dev/block/%d:%d", major, minor)
	if _, err := os.Stat(device); err != nil {
		return nil, fmt.Errorf("le système de fichiers n'est pas sur un disque qui se lise")
	}
	return encryption{encrypted(device, 8)}, nil
}

func encrypted(device string, depth int) bool {
	if name, err := os.ReadFile(filepath.Join(device, "dm", "uuid")); err == nil && strings.HasPrefix(string(name), "CRYPT-") {
		return true
	}
	below, _ := filepath.Glob(filepath.Join(device, "slaves", "*"))
	for _, one := range below {
		if depth > 0 && encrypted(one, depth-1) {
			return true
		}
	}
	return false
}
