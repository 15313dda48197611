// Command clicker is the person before a Windows PC, for the tests: it waits for each window of the program, tells what it
// shows, types, and presses a button. The program itself knows nothing of it.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"
)

var (
	user32     = syscall.NewLazyDLL("user32.dll")
	findWindow = user32.NewProc("FindWindowExW")
	isWindow   = user32.NewProc("IsWindow")
	isVisible  = user32.NewProc("IsWindowVisible")
	dialogItem = user32.NewProc("GetDlgItem")
	send       = user32.NewProc("SendMessageW")
	post       = user32.NewProc("PostMessageW")
)

const (
	setText = 0x0C
	getText = 0x0D
	command = 0x111
	count   = 0x146 // CB_GETCOUNT
	entry   = 0x148 // CB_GETLBTEXT
	choose  = 0x14E // CB_SETCURSEL
)

const title = "Signature de documents" // of the program's windows

// step is what is done to one window.
type step struct {
	Title  string `json:"title"`
	Has    uint16 `json:"has"` // of a window of the program: what it has; none of them, a message
	Type   string `json:"type"`
	Field  uint16 `json:"field"`
	Choice int    `json:"choice"`
	Press  uint16 `json:"press"`
}

type seen struct {
	Text    string   `json:"text"`
	Label   string   `json:"label"`
	Choices []string `json:"choices"`
}

func wide(text string) uintptr {
	made, _ := syscall.UTF16FromString(text)
	kept = append(kept, made)
	return uintptr(unsafe.Pointer(&made[0]))
}

var kept [][]uint16 // so that what is given to Windows stays

func text(window uintptr, message, rank uintptr) string {
	made := make([]uint16, 1<<16)
	kept = append(kept, made)
	if message == getText {
		rank = uintptr(len(made))
	}
	_, _, _ = send.Call(window, message, rank, uintptr(unsafe.Pointer(&made[0])))
	return syscall.UTF16ToString(made)
}

func item(window uintptr, id uint16) uintptr {
	found, _, _ := dialogItem.Call(window, uintptr(id))
	return found
}

// is tells whether a window is the one that is awaited: several may be open.
func is(window uintptr, one step) bool {
	if visible, _, _ := isVisible.Call(window); visible == 0 || one.Title != title {
		return visible != 0
	}
	if one.Has != 0 {
		return item(window, one.Has) != 0
	}
	return item(window, 101)+item(window, 102) == 0
}

func wait(one step) uintptr {
	class, name := wide("#32770"), wide(one.Title)
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		for window, _, _ := findWindow.Call(0, 0, class, name); window != 0; window, _, _ = findWindow.Call(0, window, class, name) {
			if is(window, one) {
				return window
			}
		}
	}
	fmt.Fprintln(os.Stderr, "no window: "+one.Title)
	os.Exit(1)
	return 0
}

func main() {
	var steps []step
	if err := json.Unmarshal([]byte(os.Args[1]), &steps); err != nil {
		panic(err)
	}
	for _, one := range steps {
		window := wait(one)
		found := seen{Text: text(item(window, 100), getText, 0), Label: text(item(window, 0xffff), getText, 0)}
		if list := item(window, 101); one.Title == title && list != 0 {
			many, _, _ := send.Call(list, count, 0, 0)
			for rank := range many {
				found.Choices = append(found.Choices, text(list, entry, rank))
			}
			_, _, _ = send.Call(list, choose, uintptr(one.Choice), 0)
		}
		if one.Type != "" {
			_, _, _ = send.Call(item(window, one.Field), setText, 0, wide(one.Type))
		}
		_ = json.NewEncoder(os.Stdout).Encode(found)
		_, _, _ = post.Call(window, command, uintptr(one.Press), 0)
		for {
			if there, _, _ := isWindow.Call(window); there == 0 {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}
