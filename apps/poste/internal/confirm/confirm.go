// Package confirm shows a person what will be signed, asks whether they agree, and asks for a PIN or a password.
package confirm

import (
	"strings"
	"unicode"

	"creatic-poste/internal/refusal"
)

// Title of what is shown.
const Title = "Signature de documents"

// Order is what a person agrees to, or not.
type Order struct {
	Text    string   // what will be signed
	Choices []string // certificates; one is chosen
}

// Face is how a person is spoken to.
type Face interface {
	// Confirm gives the rank of the choice; a refusal « abandon » when the person does not agree.
	Confirm(order Order) (int, error)
	// Secret asks for a PIN or a password, once; a refusal « abandon » when none is given.
	Secret(prompt string) ([]byte, error)
	// File asks for the path of a file.
	File(prompt string) (string, error)
	// Tell says how it ended.
	Tell(text string, wrong bool)
	// Progress says what was done, where there is room for it.
	Progress(text string)
}

// Abandoned is what a person who does not agree gets.
func Abandoned() error {
	return refusal.New("abandon", "Vous n'avez pas donné votre accord : rien n'a été signé.")
}

// Clean makes a text of a site showable on one line: nothing that moves a cursor, reverses a line or hides is left.
func Clean(text string, most int) string {
	var clean strings.Builder
	for rank, one := range []rune(text) {
		if rank == most {
			clean.WriteRune('…')
			break
		}
		switch {
		case unicode.IsSpace(one):
			clean.WriteRune(' ')
		case !unicode.IsPrint(one): // controls, formats (bidirectional among them), what is not a character
			clean.WriteRune('\ufffd')
		default:
			clean.WriteRune(one)
		}
	}
	return clean.String()
}
