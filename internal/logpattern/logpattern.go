// Package logpattern matches lines against filter patterns of CloudWatch Logs, as
// far as those are about unstructured text: terms, quoted phrases, excluded and
// optional ones. Everything else that AWS has a meaning for is refused by name.
package logpattern

import (
	"fmt"
	"strings"
)

// Pattern is a filter pattern. The zero Pattern matches every text.
type Pattern struct {
	all  []string // each must be in the text
	any  []string // one of them must be, where there are any
	none []string // none may be
}

// longest bounds a pattern, in bytes; AWS allows 1024 characters.
const longest = 4096

// Parse reads a pattern:
//
//	ERROR timeout      both, in any order; letter case counts
//	"out of memory"    the phrase
//	?ERROR ?WARN       one of them at least
//	ERROR -retrying    the first and not the second
//
// A term that is not in quotes has letters, digits and underscores only.
func Parse(text string) (Pattern, error) {
	if len(text) > longest {
		return Pattern{}, fmt.Errorf("the filter pattern has over %d bytes", longest)
	}
	rest := strings.Trim(text, spaces)
	if err := refuse(rest); err != nil {
		return Pattern{}, err
	}
	var p Pattern
	for rest != "" {
		sign, term, after, err := next(rest)
		if err != nil {
			return Pattern{}, err
		}
		switch sign {
		case '?':
			p.any = append(p.any, term)
		case '-':
			p.none = append(p.none, term)
		default:
			p.all = append(p.all, term)
		}
		rest = strings.TrimLeft(after, spaces)
	}
	if len(p.any) > 0 && len(p.all)+len(p.none) > 0 {
		return Pattern{}, fmt.Errorf("the filter pattern has ? terms beside others; AWS ignores them then, and Sagebrush refuses it")
	}
	return p, nil
}

// spaces are what terms are set apart by.
const spaces = " \t\r\n"

// refuse names the kinds of patterns that are not supported.
func refuse(text string) error {
	switch {
	case text == "":
		return nil
	case text[0] == '{':
		return fmt.Errorf("JSON filter patterns ({ $.x = ... }) are not supported by Sagebrush: use terms and quoted phrases")
	case text[0] == '[':
		return fmt.Errorf("space-delimited filter patterns ([a, b, ...]) are not supported by Sagebrush: use terms and quoted phrases")
	}
	return nil
}

// next takes the first term of a text that begins with one.
func next(text string) (sign byte, term, rest string, err error) {
	if text[0] == '?' || text[0] == '-' {
		sign, text = text[0], text[1:]
	}
	if text == "" {
		return 0, "", "", fmt.Errorf("the filter pattern ends in %q without a term", string(sign))
	}
	if text[0] == '"' {
		term, rest, err = phrase(text[1:])
		return sign, term, rest, err
	}
	if text[0] == '%' {
		return 0, "", "", fmt.Errorf("regular expressions in filter patterns (%%...%%) are not supported by Sagebrush: use terms and quoted phrases")
	}
	end := strings.IndexAny(text, spaces)
	if end < 0 {
		end = len(text)
	}
	term = text[:end]
	if i := strings.IndexFunc(term, foreign); i >= 0 || term == "" {
		return 0, "", "", fmt.Errorf("the filter pattern is not valid: Invalid character(s) in term '%s'", term)
	}
	return sign, term, text[end:], nil
}

// foreign reports a character that a term may have in quotes only.
func foreign(r rune) bool {
	return !(r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r > 0x7F)
}

// phrase reads up to the quote that ends a phrase; \" and \\ stand for themselves.
func phrase(text string) (term, rest string, err error) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			rest = text[i+1:]
			if rest != "" && !strings.ContainsRune(spaces, rune(rest[0])) {
				return "", "", fmt.Errorf("the filter pattern needs a blank behind the phrase %q", b.String())
			}
			return b.String(), rest, nil
		case c == '\\' && i+1 < len(text) && (text[i+1] == '"' || text[i+1] == '\\'):
			i++
			b.WriteByte(text[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", "", fmt.Errorf("the filter pattern has a phrase without its second quote")
}

// Match reports whether a text satisfies the pattern.
func (p Pattern) Match(text string) bool {
	for _, term := range p.all {
		if !strings.Contains(text, term) {
			return false
		}
	}
	for _, term := range p.none {
		if strings.Contains(text, term) {
			return false
		}
	}
	for _, term := range p.any {
		if strings.Contains(text, term) {
			return true
		}
	}
	return len(p.any) == 0
}
