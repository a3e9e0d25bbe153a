package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// textValue is a flag for a member of the API that may be absent.
type textValue struct{ p **string }

func (v *textValue) Set(text string) error { *v.p = &text; return nil }
func (v *textValue) Type() string          { return "text" }
func (v *textValue) String() string        { return deref(v.p) }

func deref(p **string) string {
	if p == nil || *p == nil {
		return ""
	}
	return **p
}

// choiceValue is a flag for an enumeration of the API. Case does not matter.
type choiceValue struct {
	p       **string
	choices []string
}

// choiceFlag makes such a flag and its completion.
func choiceFlag(cmd *cobra.Command, p **string, name, help string, choices ...string) {
	cmd.Flags().Var(&choiceValue{p: p, choices: choices}, name, help+": "+strings.Join(choices, ", "))
	complete(cmd, name, choices...)
}

func (v *choiceValue) Set(text string) error {
	for _, c := range v.choices {
		if strings.EqualFold(c, text) {
			*v.p = &c
			return nil
		}
	}
	return fmt.Errorf("it may be %s", strings.Join(v.choices, ", "))
}

func (v *choiceValue) Type() string   { return "choice" }
func (v *choiceValue) String() string { return deref(v.p) }

// timeValue is a flag for a time: a date, a date and time, or how long ago.
type timeValue struct{ p **time.Time }

func (v *timeValue) Set(text string) error {
	if ago, err := time.ParseDuration(text); err == nil {
		at := time.Now().Add(-ago)
		*v.p = &at
		return nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", time.DateTime, time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			*v.p = &at
			return nil
		}
	}
	return fmt.Errorf("it may be a time such as 2026-11-24T08:00:00Z or 2026-11-24, or a duration such as 2h, which is that long ago")
}

func (v *timeValue) Type() string { return "time" }
func (v *timeValue) String() string {
	if v.p == nil || *v.p == nil {
		return ""
	}
	return (**v.p).Format(time.RFC3339)
}

// limitValue is a flag for a number of at least 1.
type limitValue struct{ p *int }

func (v *limitValue) Set(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return fmt.Errorf("it must be a number of at least 1")
	}
	*v.p = n
	return nil
}

func (v *limitValue) Type() string { return "number" }
func (v *limitValue) String() string {
	if v.p == nil || *v.p == 0 {
		return ""
	}
	return fmt.Sprint(*v.p)
}

// intValue is a flag for a whole number of the API that may be absent. The server
// knows its range.
type intValue struct{ p **int32 }

func (v *intValue) Set(text string) error {
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return fmt.Errorf("it must be a whole number")
	}
	*v.p = ptr(int32(n))
	return nil
}

func (v *intValue) Type() string { return "number" }
func (v *intValue) String() string {
	if v.p == nil || *v.p == nil {
		return ""
	}
	return fmt.Sprint(**v.p)
}
