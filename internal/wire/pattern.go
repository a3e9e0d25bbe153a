package wire

import (
	"regexp"
	"sync"
)

// pattern is a regular expression of the model. A string satisfies it when all
// of the string matches expr and, where RE2 lacks what the model uses, not all
// of it matches deny and it has no more than longest bytes. An expression is
// compiled when it is first needed: no request needs them all, and the server
// starts faster.
type pattern struct {
	text    string // as the model has it
	expr    string
	deny    string // "" is none
	longest int    // 0 is none

	once   sync.Once
	match  *regexp.Regexp
	refuse *regexp.Regexp // nil when deny is ""
}

// longestMatched bounds the work that a stranger's string can cause, in bytes.
// Every shape with a pattern has a maximum length under it, so that a longer
// string is refused for its length anyway.
const longestMatched = 64 << 10

// satisfied reports whether all of v matches. It does not judge strings over
// longestMatched and lets them pass.
func (p *pattern) satisfied(v string) bool {
	if len(v) > longestMatched {
		return true
	}
	if p.longest > 0 && len(v) > p.longest {
		return false
	}
	p.once.Do(p.compile)
	return p.match.MatchString(v) && (p.refuse == nil || !p.refuse.MatchString(v))
}

func (p *pattern) compile() {
	p.match = whole(p.expr)
	if p.deny != "" {
		p.refuse = whole(p.deny)
	}
}

// whole compiles an expression that must match all of a string. The generator
// has seen that it compiles.
func whole(expr string) *regexp.Regexp { return regexp.MustCompile(`^(?:` + expr + `)$`) }
