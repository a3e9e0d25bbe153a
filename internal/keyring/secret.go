package keyring

import (
	"fmt"
	"log/slog"
)

// Secret is bytes that must not be seen: printed, logged or written as JSON, it is
// a word instead.
type Secret []byte

const redacted = "(secret)"

// Format implements fmt.Formatter for every verb.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements encoding.TextMarshaler, which encoding/json uses too.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Wipe overwrites the bytes, after their last use.
func (s Secret) Wipe() { clear(s) }
