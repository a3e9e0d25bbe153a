package main

import (
	"fmt"
	"regexp"
	"regexp/syntax"
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
	_, err := regexp.Compile(text)
	switch {
	case err != nil && !known:
		return pattern{}, fmt.Errorf("pattern %s: %w; add it to rewrites", text, err)
	case err == nil && known:
		return pattern{}, fmt.Errorf("pattern %s compiles; remove it from rewrites", text)
	case !known:
		p.expr = text
	}
	p.text = text
	if p.expr, err = javaDots(p.expr); err != nil {
		return pattern{}, fmt.Errorf("pattern %s: %w", text, err)
	}
	_, err = regexp.Compile(p.expr + p.deny)
	return p, err
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
