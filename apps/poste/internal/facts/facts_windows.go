package facts

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// System is this one's name.
const System = "windows"

const (
	current  = `SOFTWARE\Microsoft\Windows\CurrentVersion`
	versions = `SOFTWARE\Microsoft\Windows NT\CurrentVersion`
	services = `SYSTEM\CurrentControlSet\Services`
	defender = `SOFTWARE\Microsoft\Windows Defender`
	desktop  = `Control Panel\Desktop`
	hklm     = syscall.HKEY_LOCAL_MACHINE
	hkcu     = syscall.HKEY_CURRENT_USER

	valueBytes = 1 << 16
	keysSeen   = 50_000
	installed  = 112     // CurrentState of a package
	disabled   = 4       // Start of a service
	eleven     = 22_000  // first build of Windows 11, which the registry calls 10
	accountOff = 0x2     // UF_ACCOUNTDISABLE
	ofUser     = 1       // SidTypeUser
	preferred  = 1 << 16 // bytes of an answer
)

var errAbsent = errors.New("absent du registre")

func own() map[string]func() (any, error) {
	return map[string]func() (any, error){
		"systeme": windowsVersion, "disque": space, "mises_a_jour": upgrades, "administrateurs": localAdministrators,
		"chiffrement": bitLocker, "antivirus": antivirus, "pare_feu": firewall, "smb1": smb1, "verrouillage": screenLock,
	}
}

// -- the registry ---------------------------------------------------------------------------------------------------

func opened(root syscall.Handle, path string, work func(syscall.Handle) error) error {
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return err
	}
	var key syscall.Handle
	err = syscall.RegOpenKeyEx(root, name, 0, syscall.KEY_READ, &key)
	if errors.Is(err, syscall.ERROR_FILE_NOT_FOUND) || errors.Is(err, syscall.ERROR_PATH_NOT_FOUND) {
		return errAbsent
	}
	if err != nil {
		return err
	}
	defer syscall.RegCloseKey(key)
	return work(key)
}

func there(root syscall.Handle, path string) (bool, error) {
	err := opened(root, path, func(syscall.Handle) error { return nil })
	if errors.Is(err, errAbsent) {
		return false, nil
	}
	return err == nil, err
}

func value(key syscall.Handle, name string) (uint32, []byte, error) {
	wide, err := syscall.UTF16PtrFromString(name)
	if err != nil {
		return 0, nil, err
	}
	content := make([]byte, valueBytes)
	size := uint32(len(content))
	var kind uint32
	err = syscall.RegQueryValueEx(key, wide, nil, &kind, &content[0], &size)
	if errors.Is(err, syscall.ERROR_FILE_NOT_FOUND) {
		return 0, nil, errAbsent
	}
	return kind, content[:size], err
}

func numberIn(key syscall.Handle, name string) (uint64, error) {
	kind, content, err := value(key, name)
	switch {
	case err != nil:
		return 0, err
	case kind == syscall.REG_DWORD && len(content) == 4:
		return uint64(binary.LittleEndian.Uint32(content)), nil
	case kind == syscall.REG_QWORD && len(content) == 8:
		return binary.LittleEndian.Uint64(content), nil
	}
	return 0, fmt.Errorf("%s n'est pas un nombre", name)
}

func number(root syscall.Handle, path, name string) (found uint64, err error) {
	err = opened(root, path, func(key syscall.Handle) (err error) { found, err = numberIn(key, name); return })
	return
}

// numbered gives a number, or what Windows does without it.
func numbered(root syscall.Handle, path, name string, without uint64) (uint64, error) {
	found, err := number(root, path, name)
	if errors.Is(err, errAbsent) {
		return without, nil
	}
	return found, err
}

func text(root syscall.Handle, path, name string) (string, error) {
	var found string
	err := opened(root, path, func(key syscall.Handle) error {
		kind, content, err := value(key, name)
		if err != nil {
			return err
		}
		if kind != syscall.REG_SZ && kind != syscall.REG_EXPAND_SZ {
			return fmt.Errorf("%s n'est pas un texte", name)
		}
		wide := make([]uint16, len(content)/2)
		for rank := range wide {
			wide[rank] = binary.LittleEndian.Uint16(content[2*rank:])
		}
		found = clip(syscall.UTF16ToString(wide))
		return nil
	})
	return found, err
}

func instant(high, low uint64) time.Time {
	moment := syscall.Filetime{HighDateTime: uint32(high), LowDateTime: uint32(low)}
	return time.Unix(0, moment.Nanoseconds()).UTC().Truncate(time.Second)
}

// -- facts ----------------------------------------------------------------------------------------------------------

func windowsVersion() (any, error) {
	build, err := text(hklm, versions, "CurrentBuildNumber")
	if err != nil {
		return nil, err
	}
	found := system{Family: System, Name: "Windows 10"}
	for _, digit := range build {
		if digit < '0' || digit > '9' || found.Build > 1<<30 {
			return nil, fmt.Errorf("CurrentBuildNumber n'est pas un nombre : %s", build)
		}
		found.Build = 10*found.Build + uint64(digit-'0')
	}
	if found.Name, err = text(hklm, versions, "ProductName"); err != nil {
		return nil, err
	}
	if kind, _ := text(hklm, versions, "InstallationType"); found.Build >= eleven && kind != "Server" {
		found.Name = strings.Replace(found.Name, "Windows 10", "Windows 11", 1)
	}
	found.Edition, _ = text(hklm, versions, "EditionID")
	if found.Version, err = text(hklm, versions, "DisplayVersion"); err != nil {
		found.Version, _ = text(hklm, versions, "ReleaseId")
	}
	found.Revision, _ = number(hklm, versions, "UBR")
	return found, nil
}

var diskSpace = syscall.NewLazyDLL("kernel32.dll").NewProc("GetDiskFreeSpaceExW")

func space() (any, error) {
	drive, err := syscall.UTF16PtrFromString(os.Getenv("SystemDrive") + `\`)
	if err != nil {
		return nil, err
	}
	var found disk
	result, _, err := diskSpace.Call(uintptr(unsafe.Pointer(drive)), uintptr(unsafe.Pointer(&found.Free)),
		uintptr(unsafe.Pointer(&found.Total)), 0)
	if result == 0 {
		return nil, err
	}
	return found, nil
}

// upgrades reads when the last cumulative update was installed (its package says so), or what older ones left.
func upgrades() (any, error) {
	var found updates
	if last, err := text(hklm, current+`\WindowsUpdate\Auto Update\Results\Install`, "LastSuccessTime"); err == nil {
		if moment, err := time.Parse(time.DateTime, last); err == nil {
			found.Last = moment
		}
	}
	err := opened(hklm, current+`\Component Based Servicing\Packages`, func(key syscall.Handle) error {
		for rank := uint32(0); rank < keysSeen; rank++ {
			name := make([]uint16, 256)
			size := uint32(len(name))
			err := syscall.RegEnumKeyEx(key, rank, &name[0], &size, nil, nil, nil, nil)
			if err != nil {
				return nil // the last one
			}
			if package_ := syscall.UTF16ToString(name[:size]); strings.HasPrefix(package_, "Package_for_RollupFix") {
				if moment, ok := installedAt(key, name[:size]); ok && moment.After(found.Last) {
					found.Last = moment
				}
			}
		}
		return nil
	})
	if found.Last.IsZero() {
		if err == nil || errors.Is(err, errAbsent) {
			err = fmt.Errorf("Windows n'a noté aucune mise à jour cumulative")
		}
		return nil, err
	}
	for _, path := range []string{`\WindowsUpdate\Auto Update\RebootRequired`, `\Component Based Servicing\RebootPending`} {
		waits, err := there(hklm, current+path)
		if err != nil {
			return nil, err
		}
		found.Reboot = found.Reboot || waits
	}
	return found, nil
}

func installedAt(above syscall.Handle, name []uint16) (time.Time, bool) {
	var moment time.Time
	err := opened(above, syscall.UTF16ToString(name), func(key syscall.Handle) error {
		state, err := numberIn(key, "CurrentState")
		if err != nil || state != installed {
			return errAbsent
		}
		high, err := numberIn(key, "InstallTimeHigh")
		if err != nil {
			return err
		}
		low, err := numberIn(key, "InstallTimeLow")
		moment = instant(high, low)
		return err
	})
	return moment, err == nil
}

var groupMembers = syscall.NewLazyDLL("netapi32.dll").NewProc("NetLocalGroupGetMembers")

// member is LOCALGROUP_MEMBERS_INFO_2.
type member struct {
	sid  *syscall.SID
	kind uint32
	name *uint16
}

// user1 is USER_INFO_1.
type user1 struct {
	name, password  *uint16
	age, privilege  uint32
	folder, comment *uint16
	flags           uint32
	script          *uint16
}

func localAdministrators() (any, error) {
	sid, err := syscall.StringToSid("S-1-5-32-544")
	if err != nil {
		return nil, err
	}
	group, _, _, err := sid.LookupAccount("") // its name, in the system's language
	if err != nil {
		return nil, fmt.Errorf("le groupe des administrateurs n'est pas trouvé (%v)", err)
	}
	wide, err := syscall.UTF16PtrFromString(group)
	if err != nil {
		return nil, err
	}
	if err := groupMembers.Find(); err != nil {
		return nil, err
	}
	var buffer *byte
	var read, total uint32
	result, _, _ := groupMembers.Call(0, uintptr(unsafe.Pointer(wide)), 2, uintptr(unsafe.Pointer(&buffer)), preferred,
		uintptr(unsafe.Pointer(&read)), uintptr(unsafe.Pointer(&total)), 0)
	if result != 0 {
		return nil, fmt.Errorf("les membres du groupe « %s » ne se lisent pas (%v)", group, syscall.Errno(result))
	}
	if buffer == nil || read == 0 {
		return nil, fmt.Errorf("Windows ne dit aucun membre du groupe « %s »", group)
	}
	defer syscall.NetApiBufferFree(buffer)
	here, err := user.Current()
	if err != nil {
		return nil, err
	}
	computer, _ := os.Hostname()
	found := administrators{Members: []administrator{}}
	for _, one := range unsafe.Slice((*member)(unsafe.Pointer(buffer)), read) {
		text, _ := one.sid.String()
		found.Session = found.Session || text == here.Uid
		name := syscall.UTF16ToString(unsafe.Slice(one.name, length(one.name)))
		if len(found.Members) < most {
			found.Members = append(found.Members, administrator{clip(name), one.kind != ofUser || active(computer, name)})
		}
	}
	return found, nil
}

func length(text *uint16) int {
	count := 0
	for ; count < valueBytes && *(*uint16)(unsafe.Add(unsafe.Pointer(text), 2*count)) != 0; count++ {
	}
	return count
}

// active tells whether an account may open a session; another machine's may, for what is known here.
func active(computer, name string) bool {
	domain, short, found := strings.Cut(name, `\`)
	if !found || !strings.EqualFold(domain, computer) {
		return true
	}
	wide, err := syscall.UTF16PtrFromString(short)
	if err != nil {
		return true
	}
	var buffer *byte
	if syscall.NetUserGetInfo(nil, wide, 1, &buffer) != nil || buffer == nil {
		return true
	}
	defer syscall.NetApiBufferFree(buffer)
	return (*user1)(unsafe.Pointer(buffer)).flags&accountOff == 0
}

// bitLocker reads what the start of the system noted: whoever opens a session may read it.
func bitLocker() (any, error) {
	status, err := number(hklm, `SYSTEM\CurrentControlSet\Control\BitlockerStatus`, "BootStatus")
	if errors.Is(err, errAbsent) {
		return nil, fmt.Errorf("Windows ne dit pas si BitLocker protège son disque")
	}
	return encryption{status == 1}, err
}

type protection struct {
	Health     string    `json:"sante"` // bonne, non_surveillee, mauvaise, en_pause
	Source     string    `json:"source"`
	Signatures time.Time `json:"signatures,omitzero"` // Defender's
}

var (
	providerHealth = syscall.NewLazyDLL("wscapi.dll").NewProc("WscGetSecurityProviderHealth")
	healths        = []string{"bonne", "non_surveillee", "mauvaise", "en_pause"}
)

const ofAntivirus = 4 // WSC_SECURITY_PROVIDER_ANTIVIRUS

// antivirus asks the security centre, which knows every publisher's; without it, what stops Defender is known still.
func antivirus() (any, error) {
	found := protection{Source: "centre de sécurité"}
	_ = opened(hklm, defender+`\Signature Updates`, func(key syscall.Handle) error {
		_, content, err := value(key, "SignaturesLastUpdated")
		if err == nil && len(content) == 8 {
			both := binary.LittleEndian.Uint64(content)
			found.Signatures = instant(both>>32, both&0xffffffff)
		}
		return err
	})
	if providerHealth.Find() == nil {
		var health uint32
		result, _, _ := providerHealth.Call(ofAntivirus, uintptr(unsafe.Pointer(&health)))
		if result == 0 && int(health) < len(healths) {
			found.Health = healths[health]
			return found, nil
		}
	}
	found.Source, found.Health = "registre", "mauvaise"
	for _, place := range [][2]string{
		{defender, "DisableAntiSpyware"}, {defender + `\Real-Time Protection`, "DisableRealtimeMonitoring"},
		{`SOFTWARE\Policies\Microsoft\Windows Defender`, "DisableAntiSpyware"},
		{`SOFTWARE\Policies\Microsoft\Windows Defender\Real-Time Protection`, "DisableRealtimeMonitoring"},
	} {
		if stopped, err := number(hklm, place[0], place[1]); err == nil && stopped != 0 {
			return found, nil
		}
	}
	return nil, fmt.Errorf("le centre de sécurité de Windows ne répond pas")
}

type profiles struct {
	Domain  bool `json:"domaine"`
	Private bool `json:"prive"`
	Public  bool `json:"public"`
}

func firewall() (any, error) {
	var found profiles
	for name, on := range map[string]*bool{
		"DomainProfile": &found.Domain, "StandardProfile": &found.Private, "PublicProfile": &found.Public,
	} {
		asked, err := number(hklm, `SOFTWARE\Policies\Microsoft\WindowsFirewall\`+name, "EnableFirewall")
		if errors.Is(err, errAbsent) {
			asked, err = number(hklm, services+`\SharedAccess\Parameters\FirewallPolicy\`+name, "EnableFirewall")
		}
		if err != nil {
			return nil, err
		}
		*on = asked != 0
	}
	return found, nil
}

type sharing struct {
	Client bool `json:"client"`
	Server bool `json:"serveur"`
}

// smb1 reads its two drivers, and the value that closes it in the server. Absent drivers are Windows' own choice since 1709.
func smb1() (any, error) {
	if known, err := there(hklm, services+`\LanmanWorkstation`); err != nil || !known {
		return nil, fmt.Errorf("le partage de fichiers de Windows n'est pas là")
	}
	client, err := numbered(hklm, services+`\mrxsmb10`, "Start", disabled)
	if err != nil {
		return nil, err
	}
	driver, err := numbered(hklm, services+`\srv`, "Start", disabled)
	if err != nil {
		return nil, err
	}
	wanted, err := numbered(hklm, services+`\LanmanServer\Parameters`, "SMB1", 1)
	return sharing{client != disabled, driver != disabled && wanted != 0}, err
}

type locking struct {
	After    uint64 `json:"apres_s"` // seconds; 0: never
	Password bool   `json:"mot_de_passe"`
}

// screenLock reads the machine's limit of inactivity, then what the policies or the account have of the screen saver.
func screenLock() (any, error) {
	limit, err := numbered(hklm, current+`\Policies\System`, "InactivityTimeoutSecs", 0)
	if err != nil {
		return nil, err
	}
	saver := map[string]uint64{}
	for _, name := range []string{"ScreenSaveActive", "ScreenSaverIsSecure", "ScreenSaveTimeOut"} {
		told, err := text(hkcu, `Software\Policies\Microsoft\Windows\`+desktop, name)
		if errors.Is(err, errAbsent) {
			told, err = text(hkcu, desktop, name)
		}
		if err != nil && !errors.Is(err, errAbsent) {
			return nil, err
		}
		for _, digit := range told {
			if digit < '0' || digit > '9' || saver[name] > 1<<30 {
				return nil, fmt.Errorf("%s n'est pas un nombre", name)
			}
			saver[name] = 10*saver[name] + uint64(digit-'0')
		}
	}
	after, locks := saver["ScreenSaveTimeOut"], saver["ScreenSaveActive"] != 0 && saver["ScreenSaverIsSecure"] != 0
	switch {
	case limit > 0 && (!locks || after == 0 || limit < after):
		return locking{limit, true}, nil
	case after == 0 || saver["ScreenSaveActive"] == 0:
		return locking{}, nil
	}
	return locking{after, locks}, nil
}
