package confirm

import (
	"encoding/binary"
	"os"
	"runtime"
	"strings"
	"syscall"
	"unsafe"

	"creatic-poste/internal/refusal"
)

var (
	user32              = syscall.NewLazyDLL("user32.dll")
	kernel32            = syscall.NewLazyDLL("kernel32.dll")
	dialogBoxIndirect   = user32.NewProc("DialogBoxIndirectParamW")
	endDialog           = user32.NewProc("EndDialog")
	setDialogText       = user32.NewProc("SetDlgItemTextW")
	getDialogText       = user32.NewProc("GetDlgItemTextW")
	sendDialogMessage   = user32.NewProc("SendDlgItemMessageW")
	setForegroundWindow = user32.NewProc("SetForegroundWindow")
	messageBox          = user32.NewProc("MessageBoxW")
	getConsoleProcesses = kernel32.NewProc("GetConsoleProcessList")
	freeConsole         = kernel32.NewProc("FreeConsole")
	getOpenFileName     = syscall.NewLazyDLL("comdlg32.dll").NewProc("GetOpenFileNameW")
)

// Identifiers of what is in a dialog.
const (
	buttonOK     = 1
	buttonCancel = 2
	listID       = 100
	choiceID     = 101
	secretID     = 102
)

const (
	initDialog   = 0x110 // WM_INITDIALOG
	command      = 0x111 // WM_COMMAND
	addString    = 0x143 // CB_ADDSTRING
	getSelection = 0x147 // CB_GETCURSEL
	setSelection = 0x14E // CB_SETCURSEL
	longestText  = 256
)

const (
	button   = 0x80
	edit     = 0x81
	static   = 0x82
	comboBox = 0x85
)

const (
	child       = 0x50000000 // WS_CHILD | WS_VISIBLE
	tabStop     = 0x10000    // WS_TABSTOP
	border      = 0x800000
	scroll      = 0x200000 // WS_VSCROLL
	dialogStyle = 0x80C80000 | 0x40 | 0x800 | 0x80
	// WS_POPUP, WS_CAPTION, WS_SYSMENU; DS_SETFONT, DS_CENTER, DS_MODALFRAME
)

type control struct {
	class      uint16
	style      uint32
	x, y, w, h int16
	id         uint16
	text       string
}

// template writes a DLGTEMPLATE.
func template(width, height int16, controls []control) []byte {
	order := binary.LittleEndian
	wide := func(into []byte, text string) []byte {
		for _, one := range syscall.StringToUTF16(text) {
			into = order.AppendUint16(into, one)
		}
		return into
	}
	numbers := func(into []byte, list ...int16) []byte {
		for _, one := range list {
			into = order.AppendUint16(into, uint16(one))
		}
		return into
	}
	made := order.AppendUint32(nil, dialogStyle)
	made = order.AppendUint32(made, 0x8) // WS_EX_TOPMOST
	made = numbers(made, int16(len(controls)), 0, 0, width, height, 0, 0)
	made = wide(made, Title)
	made = numbers(made, 9)
	made = wide(made, "MS Shell Dlg")
	for _, one := range controls {
		for len(made)%4 != 0 {
			made = append(made, 0)
		}
		made = order.AppendUint32(made, child|one.style)
		made = order.AppendUint32(made, 0)
		made = numbers(made, one.x, one.y, one.w, one.h, int16(one.id), -1, int16(one.class))
		made = wide(made, one.text)
		made = numbers(made, 0)
	}
	return made
}

// dialog is one that is shown; there is one at a time.
type dialog struct {
	text    string
	choices []string
	chosen  int
	secret  []byte
}

var (
	shown     *dialog
	procedure = syscall.NewCallback(func(window, message, word, _ uintptr) uintptr {
		switch message {
		case initDialog:
			shown.fill(window)
			return 1
		case command:
			switch word & 0xffff {
			case buttonOK:
				shown.read(window)
				_, _, _ = endDialog.Call(window, buttonOK)
				return 1
			case buttonCancel:
				_, _, _ = endDialog.Call(window, buttonCancel)
				return 1
			}
		}
		return 0
	})
)

func (d *dialog) fill(window uintptr) {
	_, _, _ = setDialogText.Call(window, listID, uintptr(unsafe.Pointer(wide(strings.ReplaceAll(d.text, "\n", "\r\n")))))
	for _, one := range d.choices {
		_, _, _ = sendDialogMessage.Call(window, choiceID, addString, 0, uintptr(unsafe.Pointer(wide(one))))
	}
	_, _, _ = sendDialogMessage.Call(window, choiceID, setSelection, 0, 0)
	_, _, _ = setForegroundWindow.Call(window)
}

func (d *dialog) read(window uintptr) {
	rank, _, _ := sendDialogMessage.Call(window, choiceID, getSelection, 0, 0)
	d.chosen = int(int32(rank))
	typed := make([]uint16, longestText)
	length, _, _ := getDialogText.Call(window, secretID, uintptr(unsafe.Pointer(&typed[0])), longestText)
	d.secret = []byte(syscall.UTF16ToString(typed[:length]))
	clear(typed)
}

func (d *dialog) show(width, height int16, controls []control) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	made := template(width, height, controls)
	shown = d
	done, _, err := dialogBoxIndirect.Call(0, uintptr(unsafe.Pointer(&made[0])), 0, procedure, 0)
	shown = nil
	runtime.KeepAlive(made)
	switch int32(done) {
	case buttonOK:
		return nil
	case buttonCancel:
		return Abandoned()
	}
	return refusal.New("affichage", "La fenêtre ne peut pas être montrée (%v). Rien n'a été fait.", err)
}

func wide(text string) *uint16 {
	made, err := syscall.UTF16PtrFromString(text)
	if err != nil { // a NUL: Clean leaves none
		made = new(uint16)
	}
	return made
}

// Here is how this PC speaks to a person: windows. The console that Windows opened for this program alone goes.
func Here(func(*os.File) func()) (Face, error) {
	var processes [2]uint32
	many, _, _ := getConsoleProcesses.Call(uintptr(unsafe.Pointer(&processes[0])), uintptr(len(processes)))
	if many == 1 {
		_, _, _ = freeConsole.Call()
	}
	return windows{}, nil
}

type windows struct{}

func (windows) Confirm(order Order) (int, error) {
	d := &dialog{text: order.Text, choices: order.Choices}
	err := d.show(420, 280, []control{
		{edit, border | scroll | tabStop | 0x844, 7, 7, 406, 210, listID, ""}, // ES_MULTILINE, ES_AUTOVSCROLL, ES_READONLY
		{static, 0, 7, 224, 60, 10, 0xffff, "Certificat :"},
		{comboBox, scroll | tabStop | 3, 70, 222, 343, 100, choiceID, ""}, // CBS_DROPDOWNLIST
		{button, tabStop, 250, 258, 75, 15, buttonOK, "Signer"},
		{button, tabStop | 1, 338, 258, 75, 15, buttonCancel, "Ne pas signer"}, // the one that Enter presses
	})
	if err != nil {
		return 0, err
	}
	if d.chosen < 0 || d.chosen >= len(order.Choices) {
		return 0, Abandoned()
	}
	return d.chosen, nil
}

func (windows) Secret(prompt string) ([]byte, error) {
	d := &dialog{}
	err := d.show(300, 80, []control{
		{static, 0, 7, 9, 286, 20, 0xffff, prompt},
		{edit, border | tabStop | 0xA0, 7, 32, 286, 14, secretID, ""}, // ES_PASSWORD, ES_AUTOHSCROLL
		{button, tabStop | 1, 130, 58, 75, 15, buttonOK, "Continuer"},
		{button, tabStop, 218, 58, 75, 15, buttonCancel, "Ne pas signer"},
	})
	if err == nil && len(d.secret) == 0 {
		err = Abandoned()
	}
	return d.secret, err
}

// openFileName is OPENFILENAMEW.
type openFileName struct {
	size                                   uint32
	owner, instance                        uintptr
	filter, customFilter                   *uint16
	maxCustomFilter, filterIndex           uint32
	file                                   *uint16
	maxFile                                uint32
	fileTitle                              *uint16
	maxFileTitle                           uint32
	initialDir, title                      *uint16
	flags                                  uint32
	fileOffset, fileExtension              uint16
	defaultExtension                       *uint16
	customData, hook, templateName, unused uintptr
	reserved, flagsEx                      uint32
}

func (windows) File(prompt string) (string, error) {
	path := make([]uint16, 1024)
	filter := append(append(syscall.StringToUTF16("Fichiers .p12, .pfx"), syscall.StringToUTF16("*.p12;*.pfx")...), 0)
	title, _ := syscall.UTF16PtrFromString(Clean(prompt, 100))
	asked := openFileName{filter: &filter[0], file: &path[0], maxFile: uint32(len(path)), title: title,
		flags: 0x1000 | 0x800 | 0x8} // OFN_FILEMUSTEXIST, OFN_PATHMUSTEXIST, OFN_NOCHANGEDIR
	asked.size = uint32(unsafe.Sizeof(asked))
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if done, _, _ := getOpenFileName.Call(uintptr(unsafe.Pointer(&asked))); done == 0 {
		return "", Abandoned()
	}
	return syscall.UTF16ToString(path), nil
}

func (windows) Tell(text string, wrong bool) {
	kind := uintptr(0x40) // MB_ICONINFORMATION
	if wrong {
		kind = 0x30 // MB_ICONWARNING
	}
	_, _, _ = messageBox.Call(0, uintptr(unsafe.Pointer(wide(text))), uintptr(unsafe.Pointer(wide(Title))), kind|0x10000|0x40000) // MB_SETFOREGROUND, MB_TOPMOST
}

func (windows) Progress(string) {} // the page shows it
