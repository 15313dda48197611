package confirm

import (
	"testing"
	"time"
	"unsafe"
)

// press waits for the program's window, types into it, and presses a button.
func press(typed string, button uintptr) {
	find, item, post := user32.NewProc("FindWindowW"), user32.NewProc("GetDlgItem"), user32.NewProc("PostMessageW")
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		window, _, _ := find.Call(0, uintptr(unsafe.Pointer(wide(Title))))
		if there, _, _ := item.Call(window, secretID); window == 0 || there == 0 {
			continue
		}
		_, _, _ = setDialogText.Call(window, secretID, uintptr(unsafe.Pointer(wide(typed))))
		_, _, _ = post.Call(window, command, button, 0)
		return
	}
}

func TestASecretIsTakenFromAWindowOrNoneIs(t *testing.T) {
	for _, one := range []struct {
		typed  string
		button uintptr
		wanted string
	}{{"mot de passe é", buttonOK, "mot de passe é"}, {"271828", buttonCancel, ""}, {"", buttonOK, ""}} {
		go press(one.typed, one.button)
		got, err := windows{}.Secret("PIN du jeton « mairie »")
		if one.wanted != "" && (err != nil || string(got) != one.wanted) || one.wanted == "" && err == nil {
			t.Errorf("%+v: %q, %v", one, got, err)
		}
	}
}
