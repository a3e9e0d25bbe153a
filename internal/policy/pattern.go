package policy

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// pattern is a text with wildcards and variables, cut into tokens.
type pattern struct {
	tokens []token
	fold   bool // the case of ASCII letters does not matter
}

// token is a part of a pattern. Two stars never follow each other.
type token struct {
	kind    tokenKind
	text    string // the literal, or the key of the variable
	preset  string // the variable's value when the request has none
	hasElse bool   // that there is a preset
}

type tokenKind uint8

const (
	literal  tokenKind = iota
	star               // any text
	one                // any character
	variable           // the value of a condition key, as it stands
)

// match reports whether all of s matches. r gives the values of variables; a
// pattern without variables needs none. A variable without a value matches nothing.
func (p *pattern) match(s string, r *Request) bool {
	// Where to go on when what follows the last star does not match: the star takes
	// one character more. What a former star took need never change.
	again, resume := -1, ""
	i := 0
	for {
		if i < len(p.tokens) {
			if p.tokens[i].kind == star {
				i++
				if i == len(p.tokens) {
					return true
				}
				again, resume = i, s
				continue
			}
			if n, ok := p.tokens[i].prefix(s, p.fold, r); ok {
				s = s[n:]
				i++
				continue
			}
		} else if s == "" {
			return true
		}
		if again < 0 || resume == "" {
			return false
		}
		_, n := utf8.DecodeRuneInString(resume)
		resume = resume[n:]
		i, s = again, resume
	}
}

// prefix gives how much of s a token takes, which is no star.
func (t *token) prefix(s string, fold bool, r *Request) (int, bool) {
	text := t.text
	switch t.kind {
	case one:
		_, n := utf8.DecodeRuneInString(s)
		return n, n > 0
	case variable:
		var ok bool
		if text, ok = t.resolve(r); !ok {
			return 0, false
		}
	}
	if len(s) < len(text) {
		return 0, false
	}
	if s[:len(text)] == text {
		return len(text), true
	}
	return len(text), fold && foldEqual(s[:len(text)], text)
}

// resolve gives the value of a variable. A key with many values has none here.
func (t *token) resolve(r *Request) (string, bool) {
	if r != nil {
		if a := r.attribute(t.text); a != nil && a.Many == nil {
			return a.Value, true
		}
	}
	return t.preset, t.hasElse
}

// foldEqual compares texts of one length, without regard to the case of ASCII
// letters.
func foldEqual(a, b string) bool {
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// compiler reads patterns.
type compiler struct {
	keys      *Keys
	wildcards bool // * and ? are wildcards, not themselves
	variables bool // ${key} is a variable, not itself
}

// compile cuts a text into tokens.
func (c compiler) compile(text string) (pattern, error) {
	var p pattern
	var plain strings.Builder
	flush := func() {
		if plain.Len() > 0 {
			p.tokens = append(p.tokens, token{kind: literal, text: plain.String()})
			plain.Reset()
		}
	}
	for len(text) > 0 {
		switch {
		case c.variables && strings.HasPrefix(text, "${"):
			inside, rest, ok := strings.Cut(text[2:], "}")
			if !ok {
				return p, errors.New("a variable that begins with ${ does not end with }")
			}
			text = rest
			if inside == "*" || inside == "?" || inside == "$" {
				plain.WriteString(inside)
				continue
			}
			t, err := c.variable(inside)
			if err != nil {
				return p, err
			}
			flush()
			p.tokens = append(p.tokens, t)
			continue
		case c.wildcards && text[0] == '*':
			flush()
			if n := len(p.tokens); n == 0 || p.tokens[n-1].kind != star {
				p.tokens = append(p.tokens, token{kind: star})
			}
		case c.wildcards && text[0] == '?':
			flush()
			p.tokens = append(p.tokens, token{kind: one})
		default:
			plain.WriteByte(text[0])
		}
		text = text[1:]
	}
	flush()
	return p, nil
}

// variable reads what stands between ${ and }: a key, and perhaps a value for
// requests that do not have it.
func (c compiler) variable(inside string) (token, error) {
	key, preset, hasElse := strings.Cut(inside, ",")
	t := token{kind: variable, text: strings.TrimSpace(key), hasElse: hasElse}
	if err := c.keys.check(t.text); err != nil {
		return t, err
	}
	if hasElse {
		preset = strings.TrimSpace(preset)
		if len(preset) < 2 || preset[0] != '\'' || preset[len(preset)-1] != '\'' {
			return t, fmt.Errorf("the default in ${%s} is not in single quotes", inside)
		}
		t.preset = preset[1 : len(preset)-1]
	}
	return t, nil
}

// arnParts is the number of parts of an ARN, separated by colons; the last may
// hold more colons.
const arnParts = 6

// arnPattern matches ARNs part by part: no wildcard spans two parts.
type arnPattern struct {
	every bool // matches everything: "*"
	parts [arnParts]pattern
}

// compileARN reads "*" or the pattern of an ARN. Parts that are missing at its end
// may be anything.
func (c compiler) compileARN(text string) (arnPattern, error) {
	if text == "*" {
		return arnPattern{every: true}, nil
	}
	var p arnPattern
	if !strings.HasPrefix(text, "arn:") {
		return p, fmt.Errorf(`%q must be in ARN format or "*"`, text)
	}
	for i := range p.parts {
		part, rest, more := cutPart(text)
		if i == arnParts-1 {
			part, more = text, false
		}
		var err error
		if p.parts[i], err = c.compile(part); err != nil {
			return p, err
		}
		if text = rest; more {
			continue
		}
		for i++; i < arnParts; i++ {
			p.parts[i] = pattern{tokens: []token{{kind: star}}}
		}
		return p, nil
	}
	return p, nil
}

// cutPart cuts a pattern at its first colon that is not in a variable.
func cutPart(text string) (part, rest string, more bool) {
	depth := 0
	for i := range len(text) {
		switch {
		case strings.HasPrefix(text[i:], "${"):
			depth++
		case text[i] == '}' && depth > 0:
			depth--
		case text[i] == ':' && depth == 0:
			return text[:i], text[i+1:], true
		}
	}
	return text, "", false
}

// arn is an ARN cut into its parts; ok is false for what is none, such as "*".
type arn struct {
	parts [arnParts]string
	ok    bool
}

func cutARN(text string) (a arn) {
	for i := range arnParts - 1 {
		var ok bool
		if a.parts[i], text, ok = strings.Cut(text, ":"); !ok {
			return a
		}
	}
	a.parts[arnParts-1], a.ok = text, true
	return a
}

// match reports whether an ARN matches; what is none matches "*" alone.
func (p *arnPattern) match(a *arn, r *Request) bool {
	if p.every || !a.ok {
		return p.every
	}
	for i := range p.parts {
		if !p.parts[i].match(a.parts[i], r) {
			return false
		}
	}
	return true
}

// variable reports whether the pattern has variables.
func (p *arnPattern) variable() bool {
	for _, part := range p.parts {
		for _, t := range part.tokens {
			if t.kind == variable {
				return true
			}
		}
	}
	return false
}
