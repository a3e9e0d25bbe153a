package wire

import (
	"regexp"
	"sync"
)

// Pattern is a regular expression of the model. A string satisfies it when all
// of the string matches Expr and, where RE2 lacks what the model uses, not all
// of it matches Deny and it has no more than Longest bytes. An expression is
// compiled when it is first needed: no request needs them all, and the server
// starts faster.
type Pattern struct {
	Text    string // as the model has it
	Expr    string
	Deny    string // "" is none
	Longest int    // 0 is none

	once   sync.Once
	match  *regexp.Regexp
	refuse *regexp.Regexp // nil when Deny is ""
}

// longestMatched bounds the work that a stranger's string can cause, in bytes.
// Every shape with a pattern has a maximum length under it, so that a longer
// string is refused for its length anyway.
const longestMatched = 64 << 10

// satisfied reports whether all of v matches. It does not judge strings over
// longestMatched and lets them pass.
func (p *Pattern) satisfied(v string) bool {
	if len(v) > longestMatched {
		return true
	}
	if p.Longest > 0 && len(v) > p.Longest {
		return false
	}
	p.once.Do(p.compile)
	return p.match.MatchString(v) && (p.refuse == nil || !p.refuse.MatchString(v))
}

func (p *Pattern) compile() {
	p.match = whole(p.Expr)
	if p.Deny != "" {
		p.refuse = whole(p.Deny)
	}
}

// whole compiles an expression that must match all of a string. The generator
// has seen that it compiles.
func whole(expr string) *regexp.Regexp { return regexp.MustCompile(`^(?:` + expr + `)$`) }
