package confirm

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"creatic-poste/internal/refusal"
)

// Here is how this PC speaks to a person: windows (zenity) where there is a screen, else the terminal that the program was
// called in. hide stops showing what is typed, and gives what shows it again.
func Here(hide func(*os.File) func()) (Face, error) {
	if os.Getenv("DISPLAY") != "" || os.Getenv("WAYLAND_DISPLAY") != "" {
		if path, err := exec.LookPath("zenity"); err == nil {
			return windows{path}, nil
		}
	}
	if in, err := os.OpenFile("/dev/tty", os.O_RDWR, 0); err == nil {
		return &console{in, bufio.NewReader(in), hide}, nil
	}
	return nil, refusal.New("affichage", "Ce qui est à signer ne peut pas être montré : installez le paquet zenity, ou lancez "+
		"cette commande dans un terminal. Rien n'a été fait.")
}

type console struct {
	tty  *os.File
	in   *bufio.Reader
	hide func(*os.File) func()
}

func (c *console) line() (string, error) {
	text, err := c.in.ReadString('\n')
	if err != nil {
		return "", Abandoned()
	}
	return strings.TrimSpace(text), nil
}

func (c *console) Confirm(order Order) (int, error) {
	fmt.Fprintf(c.tty, "\n%s\nCertificats :\n", order.Text)
	for rank, one := range order.Choices {
		fmt.Fprintf(c.tty, "  %d. %s\n", rank+1, one)
	}
	chosen := 1
	if len(order.Choices) > 1 {
		fmt.Fprintf(c.tty, "\nNuméro du certificat, ou rien pour ne pas signer : ")
		text, err := c.line()
		if err != nil {
			return 0, err
		}
		if chosen, err = strconv.Atoi(text); err != nil || chosen < 1 || chosen > len(order.Choices) {
			return 0, Abandoned()
		}
	}
	fmt.Fprintf(c.tty, "\nSigner avec « %s » ? Tapez « oui » pour donner votre accord : ", order.Choices[chosen-1])
	text, err := c.line()
	if err != nil {
		return 0, err
	}
	if !strings.EqualFold(text, "oui") {
		return 0, Abandoned()
	}
	return chosen - 1, nil
}

func (c *console) Secret(prompt string) ([]byte, error) {
	shown := c.hide(c.tty) // before it is asked: some type fast
	fmt.Fprintf(c.tty, "%s : ", prompt)
	text, err := c.in.ReadBytes('\n')
	shown()
	fmt.Fprintln(c.tty)
	text = bytes.TrimRight(text, "\r\n")
	if err != nil || len(text) == 0 {
		return nil, Abandoned()
	}
	return text, nil
}

func (c *console) File(prompt string) (string, error) {
	fmt.Fprintf(c.tty, "%s (chemin) : ", prompt)
	text, err := c.line()
	if err == nil && text == "" {
		err = Abandoned()
	}
	return text, err
}

func (c *console) Tell(text string, _ bool) { fmt.Fprintln(c.tty, text) }
func (c *console) Progress(text string)     { fmt.Fprintln(c.tty, text) }

// windows are zenity's. What is shown is given by its input, or as a value of an option: never as a command.
type windows struct{ path string }

func (w windows) ask(input string, arguments ...string) (string, error) {
	command := exec.Command(w.path, append([]string{"--title=" + Title}, arguments...)...)
	command.Stdin = strings.NewReader(input)
	told, err := command.Output()
	var left *exec.ExitError
	if errors.As(err, &left) {
		if left.ExitCode() == 1 {
			return "", Abandoned()
		}
		return "", refusal.New("affichage", "La fenêtre ne peut pas être montrée (zenity, code %d). Rien n'a été fait.", left.ExitCode())
	}
	if err != nil {
		return "", refusal.New("affichage", "La fenêtre ne peut pas être montrée (%v). Rien n'a été fait.", err)
	}
	return strings.TrimRight(string(told), "\n"), nil
}

func (w windows) Confirm(order Order) (int, error) {
	text, agree := order.Text, "--ok-label=Choisir le certificat"
	if len(order.Choices) == 1 {
		text, agree = text+"\nCertificat : "+order.Choices[0]+"\n", "--ok-label=Signer"
	}
	if _, err := w.ask(text, "--text-info", "--width=900", "--height=600", agree, "--cancel-label=Ne pas signer"); err != nil {
		return 0, err
	}
	if len(order.Choices) == 1 {
		return 0, nil
	}
	arguments := []string{"--list", "--width=900", "--height=300", "--text=Avec quel certificat ?", "--column=n", "--column=Certificat",
		"--hide-column=1", "--print-column=1", "--ok-label=Signer", "--cancel-label=Ne pas signer"}
	for rank, one := range order.Choices {
		arguments = append(arguments, strconv.Itoa(rank), strings.TrimLeft(one, "-")) // a value, never an option
	}
	told, err := w.ask("", arguments...)
	if err != nil {
		return 0, err
	}
	chosen, err := strconv.Atoi(told)
	if err != nil || chosen < 0 || chosen >= len(order.Choices) {
		return 0, Abandoned()
	}
	return chosen, nil
}

var markup = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func (w windows) Secret(prompt string) ([]byte, error) {
	told, err := w.ask("", "--entry", "--hide-text", "--text="+markup.Replace(prompt))
	if err == nil && told == "" {
		err = Abandoned()
	}
	return []byte(told), err
}

func (w windows) File(prompt string) (string, error) {
	return w.ask("", "--file-selection", "--title="+prompt, "--file-filter=*.p12 *.pfx *.P12 *.PFX")
}

func (w windows) Tell(text string, wrong bool) {
	kind := "--info"
	if wrong {
		kind = "--warning"
	}
	_, _ = w.ask("", kind, "--no-markup", "--width=600", "--text="+text)
}

func (w windows) Progress(string) {} // the page shows it
