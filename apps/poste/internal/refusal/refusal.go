// Package refusal is what the program says when it does not do what it was asked: a cause that a program reads, and a
// French sentence that a clerk or a technician reads, with what to do.
package refusal

import (
	"errors"
	"fmt"
)

// Exit codes of the program.
const (
	Done    = 0
	Failed  = 1
	Usage   = 2
	Waiting = 3
)

// Error is one refusal.
type Error struct {
	Cause   string // machine-readable slug
	Message string // French, names what is wrong and what to do
	Code    int    // exit code
}

func (e *Error) Error() string { return e.Message }

// New makes a refusal that ends the program with Failed.
func New(cause, format string, values ...any) *Error {
	return &Error{Cause: cause, Message: fmt.Sprintf(format, values...), Code: Failed}
}

// Waits makes one that only says that time must pass: what was begun goes on at the next call.
func Waits(cause, format string, values ...any) *Error {
	return &Error{Cause: cause, Message: fmt.Sprintf(format, values...), Code: Waiting}
}

// Of gives the refusal that an error carries, or wraps an unforeseen one.
func Of(err error) *Error {
	var found *Error
	if errors.As(err, &found) {
		return found
	}
	return New("imprevu", "Imprévu : %v. Donnez cette ligne au groupement.", err)
}
