package config

import "fmt"

// Secret is text that is never printed: URLs with passwords, tokens. It compares with ==.
type Secret struct{ text string }

// NewSecret makes s a Secret.
func NewSecret(s string) Secret { return Secret{text: s} }

const redacted = "(redacted)"

// Reveal returns the text, for the one who needs it.
func (s Secret) Reveal() string { return s.text }

// String, Format and MarshalText give "(redacted)", and "" when there is no text.
func (s Secret) String() string {
	if s.text == "" {
		return ""
	}
	return redacted
}

// Format keeps every verb of fmt, %#v and %d included, from looking inside.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.String()) }

// MarshalText is what encoding/json and log/slog print.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
