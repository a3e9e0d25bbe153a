package logpattern

import (
	"strings"
	"testing"
)

func TestMatch(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		pattern  string
		yes, no  []string
		refusals string
	}{
		{pattern: "", yes: []string{"", "x"}},
		{pattern: "  ", yes: []string{"", "x"}},
		{pattern: "ERROR", yes: []string{"an ERROR here", "[ERROR]"}, no: []string{"error", "ERR OR", ""}},
		{pattern: "ERROR timeout", yes: []string{"timeout: ERROR"}, no: []string{"ERROR", "timeout"}},
		{pattern: `"out of memory"`, yes: []string{"it is out of memory"}, no: []string{"memory out of"}},
		{pattern: `"a \"b\" \\ c"`, yes: []string{`x a "b" \ c`}, no: []string{"a b c"}},
		{pattern: "?ERROR ?WARN", yes: []string{"ERROR", "a WARN"}, no: []string{"INFO"}},
		{pattern: `?"GET /ping" ?"GET /x"`, yes: []string{"GET /x HTTP/1.1"}, no: []string{"POST /x"}},
		{pattern: "ERROR -retrying", yes: []string{"ERROR"}, no: []string{"ERROR, retrying", "retrying"}},
		{pattern: `-"GET /ping"`, yes: []string{"POST /x", ""}, no: []string{"GET /ping"}},
		{pattern: "größe", yes: []string{"die größe"}, no: []string{"die Größe"}},
		{pattern: "two\tterms\n", yes: []string{"terms two"}, no: []string{"two"}},
		{pattern: `{ $.level = "ERROR" }`, refusals: "JSON filter patterns"},
		{pattern: "[ip, user, ...]", refusals: "space-delimited filter patterns"},
		{pattern: "%ERR.*%", refusals: "regular expressions"},
		{pattern: "?%x%", refusals: "regular expressions"},
		{pattern: "ERROR ?WARN", refusals: "? terms beside others"},
		{pattern: "?WARN -x", refusals: "? terms beside others"},
		{pattern: "a.b", refusals: "Invalid character(s) in term 'a.b'"},
		{pattern: `a"b"`, refusals: `Invalid character(s) in term 'a"b"'`},
		{pattern: "x -", refusals: `ends in "-"`},
		{pattern: "- x", refusals: "Invalid character(s) in term ''"},
		{pattern: `"open`, refusals: "without its second quote"},
		{pattern: `"a"b`, refusals: "needs a blank"},
		{pattern: strings.Repeat("x", longest+1), refusals: "over 4096 bytes"},
	} {
		p, err := Parse(tt.pattern)
		if tt.refusals != "" {
			if err == nil || !strings.Contains(err.Error(), tt.refusals) {
				t.Errorf("%.40q: %v, want a refusal with %q", tt.pattern, err, tt.refusals)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", tt.pattern, err)
		}
		for _, text := range tt.yes {
			if !p.Match(text) {
				t.Errorf("%q does not match %q", tt.pattern, text)
			}
		}
		for _, text := range tt.no {
			if p.Match(text) {
				t.Errorf("%q matches %q", tt.pattern, text)
			}
		}
	}
}

// No pattern of a stranger panics; one without signs and quotes means its words.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"ERROR timeout", `"out of" -x ?y`, "?a ?b", `"\"`, "{ $.x = 1 }", "[a]", "%x%"} {
		f.Add(s, "ERROR out of timeout")
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		p, err := Parse(pattern)
		if err != nil {
			return
		}
		got := p.Match(text)
		if strings.ContainsAny(pattern, `"?-`) {
			return
		}
		want := true
		for _, word := range strings.FieldsFunc(pattern, func(r rune) bool { return strings.ContainsRune(spaces, r) }) {
			want = want && strings.Contains(text, word)
		}
		if got != want {
			t.Fatalf("%q on %q: %v", pattern, text, got)
		}
	})
}
