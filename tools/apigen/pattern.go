package main

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strconv"
	"unicode/utf16"
)

// pattern is how one pattern of the model is matched in Go: the whole string
// must match expr, must not match deny (when there is one) and must not have
// more bytes than longest (when it is not 0).
type pattern struct {
	text    string // as the model has it, for error texts
	expr    string // for RE2
	deny    string // for RE2; "" is none
	longest int
}

// rewrites holds the patterns that RE2 cannot compile, by hand.
var rewrites = map[string]pattern{
	// A repeat count over RE2's limit of 1000.
	`[a-zA-Z_][a-zA-Z0-9_]{0,1023}`: {
		expr:    `[a-zA-Z_][a-zA-Z0-9_]*`,
		longest: 1024,
	},
	// A look-behind: the name does not end in a hyphen.
	`(arn:aws[a-z\-]*:sagemaker:[a-z0-9\-]*:[0-9]{12}:[a-z\-]*\/)?` +
		`([a-zA-Z0-9]([a-zA-Z0-9-]){0,62})(?<!-)(\/[0-9]{1,9})?`: {
		expr: `(arn:aws[a-z\-]*:sagemaker:[a-z0-9\-]*:[0-9]{12}:[a-z\-]*\/)?` +
			`[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(\/[0-9]{1,9})?`,
	},
	// A look-ahead: no two dots in a row.
	`/(?!.*\.\.)[a-zA-Z0-9/_.\-]+`: {
		expr: `/[a-zA-Z0-9/_.\-]+`,
		deny: `.*\.\..*`,
	},
	// Java's name of the printable part of ASCII.
	`\p{Print}+`: {expr: `[ -~]+`},
	// A look-ahead: not only white space.
	`(?!\s*$).+`: {
		expr: `.+`,
		deny: `\s*`,
	},
}

// translate makes the Go form of a pattern. It fails on one that RE2 cannot
// compile and that rewrites does not know.
func translate(text string) (pattern, error) {
	p, known := rewrites[text]
	expr := javaEscapes(text)
	_, err := regexp.Compile(expr)
	switch {
	case err != nil && !known:
		return pattern{}, fmt.Errorf("pattern %s: %w; add it to rewrites", text, err)
	case err == nil && known:
		return pattern{}, fmt.Errorf("pattern %s compiles; remove it from rewrites", text)
	case !known:
		p.expr = expr
	}
	p.text = text
	if p.expr, err = javaDots(p.expr); err != nil {
		return pattern{}, fmt.Errorf("pattern %s: %w", text, err)
	}
	_, err = regexp.Compile(p.expr + p.deny)
	return p, err
}

// unicodeEscape is a code point as Java writes it, one over U+FFFF as two.
var unicodeEscape = regexp.MustCompile(`\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|\\u([0-9a-fA-F]{4})`)

// javaEscapes writes the code points of a pattern as Go does.
func javaEscapes(text string) string {
	return unicodeEscape.ReplaceAllStringFunc(text, func(escape string) string {
		n, _ := strconv.ParseUint(escape[2:6], 16, 32) // the expression has seen that these are digits
		if r := rune(n); len(escape) > 6 {
			low, _ := strconv.ParseUint(escape[8:], 16, 32)
			return fmt.Sprintf(`\x{%x}`, utf16.DecodeRune(r, rune(low)))
		}
		return fmt.Sprintf(`\x{%x}`, n)
	})
}

// javaDots gives every dot the meaning that it has in the model's own dialect:
// any character but a line terminator, of which Java knows five and Go one.
func javaDots(expr string) (string, error) {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return "", err
	}
	notTerminator, err := syntax.Parse(`[^\n\r\x{85}\x{2028}\x{2029}]`, syntax.Perl)
	if err != nil {
		return "", err
	}
	dots := 0
	var walk func(re *syntax.Regexp)
	walk = func(re *syntax.Regexp) {
		for i, sub := range re.Sub {
			if sub.Op == syntax.OpAnyCharNotNL {
				re.Sub[i] = notTerminator
				dots++
			}
			walk(sub)
		}
	}
	whole := &syntax.Regexp{Op: syntax.OpCapture, Sub: []*syntax.Regexp{re}}
	walk(whole)
	if dots == 0 {
		return expr, nil
	}
	return whole.Sub[0].String(), nil
}
