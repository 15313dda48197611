package confirm

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// screen gives a screen that nobody sees; its windows are pressed by xdotool.
func screen(t *testing.T) Face {
	t.Helper()
	for _, tool := range []string{"Xvfb", "zenity", "xdotool"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("needs packages xvfb, zenity and xdotool")
		}
	}
	server := exec.Command("Xvfb", "-displayfd", "1", "-screen", "0", "1280x1024x24", "-nolisten", "tcp")
	told, err := server.StdoutPipe()
	if err == nil {
		err = server.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	number, err := bufio.NewReader(told).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("DISPLAY", ":"+strings.TrimSpace(number))
	t.Setenv("WAYLAND_DISPLAY", "")
	t.Setenv("GDK_BACKEND", "x11")
	face, err := Here(func(*os.File) func() { return func() {} })
	if err != nil {
		t.Fatal(err)
	}
	if _, found := face.(windows); !found {
		t.Fatalf("%T", face)
	}
	return face
}

// press waits for a window, types into it, and presses a key.
func press(typed, key string) {
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(300 * time.Millisecond) {
		told, _ := exec.Command("xdotool", "search", "--onlyvisible", "--name", Title).Output()
		found := strings.Fields(string(told))
		if len(found) == 0 {
			continue
		}
		time.Sleep(time.Second) // it is there before it reads keys
		_ = exec.Command("xdotool", "windowfocus", found[0]).Run()
		if typed != "" {
			_ = exec.Command("xdotool", "type", typed).Run()
		}
		_ = exec.Command("xdotool", "key", key).Run()
		return
	}
}

func TestZenityAsksForASecretAndTakesNoForNo(t *testing.T) {
	face := screen(t)
	go press("271828", "Return")
	if got, err := face.Secret("PIN du jeton « <mairie> »"); err != nil || string(got) != "271828" {
		t.Fatalf("%q, %v", got, err)
	}
	go press("271828", "Escape")
	if got, err := face.Secret("PIN"); err == nil {
		t.Fatalf("%q", got)
	}
	go press("", "Escape")
	if _, err := face.Confirm(Order{Text: "un document\n", Choices: []string{"Claire Dubois"}}); err == nil {
		t.Fatal("who closes the window agrees")
	}
}
