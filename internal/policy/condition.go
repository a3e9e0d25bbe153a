package policy

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// condition is one operator with one key and the values that it is compared with.
type condition struct {
	key    string
	over   quantifier
	negate bool // it holds when none of the values match
	exists bool // IfExists: it holds when the key is absent
	test   test
}

// quantifier says how the many values of a key are taken.
type quantifier uint8

const (
	plain  quantifier = iota // the key has one value; of many, any may match
	anyOf                    // ForAnyValue: one of them is enough, and there must be one
	allOf                    // ForAllValues: all of them, also when there are none
	absent                   // Null: whether the key is absent
)

// test is what one value of a key is compared with: one of its values must match.
type test struct {
	kind     testKind
	patterns []pattern      // stringTest
	arns     []arnPattern   // arnTest
	numbers  []float64      // numberTest, and dateTest in seconds
	order    order          // of both
	prefixes []netip.Prefix // addressTest
	bools    []bool         // boolTest, and Null
}

type testKind uint8

const (
	stringTest testKind = iota
	arnTest
	numberTest
	dateTest
	boolTest
	addressTest
)

// order is how a number must stand to that of the document.
type order uint8

const (
	equal order = iota
	less
	lessOrEqual
	greater
	greaterOrEqual
)

// holds reports whether the condition is met.
func (c *condition) holds(r *Request) bool {
	a := r.attribute(c.key)
	if c.over == absent {
		for _, want := range c.test.bools {
			if want == (a == nil) {
				return true
			}
		}
		return false
	}
	if a == nil {
		return c.exists || c.over == allOf || c.negate && c.over == plain
	}
	n := a.count()
	switch c.over {
	case allOf:
		for i := range n {
			if c.test.match(a.value(i), r) == c.negate {
				return false
			}
		}
		return true
	case anyOf:
		for i := range n {
			if c.test.match(a.value(i), r) != c.negate {
				return true
			}
		}
		return false
	}
	for i := range n {
		if c.test.match(a.value(i), r) {
			return !c.negate
		}
	}
	return c.negate
}

// match reports whether a value matches one of the document's.
func (t *test) match(v string, r *Request) bool {
	switch t.kind {
	case stringTest:
		for i := range t.patterns {
			if t.patterns[i].match(v, r) {
				return true
			}
		}
	case arnTest:
		a := cutARN(v)
		for i := range t.arns {
			if t.arns[i].match(&a, r) {
				return true
			}
		}
	case numberTest:
		n, err := strconv.ParseFloat(v, 64)
		return err == nil && t.compare(n)
	case dateTest:
		n, ok := date(v)
		return ok && t.compare(n)
	case boolTest:
		b, ok := boolean(v)
		return ok && t.bool(b)
	case addressTest:
		ip, err := netip.ParseAddr(v)
		return err == nil && t.address(ip.Unmap())
	}
	return false
}

func (t *test) bool(b bool) bool {
	for _, want := range t.bools {
		if b == want {
			return true
		}
	}
	return false
}

func (t *test) address(ip netip.Addr) bool {
	for _, p := range t.prefixes {
		if p.Contains(ip.WithZone("")) {
			return true
		}
	}
	return false
}

func (t *test) compare(n float64) bool {
	for _, m := range t.numbers {
		switch {
		case t.order == equal && n == m, t.order == less && n < m, t.order == lessOrEqual && n <= m,
			t.order == greater && n > m, t.order == greaterOrEqual && n >= m:
			return true
		}
	}
	return false
}

// boolean reads true or false, in any case.
func boolean(v string) (b, ok bool) {
	switch {
	case strings.EqualFold(v, "true"):
		return true, true
	case strings.EqualFold(v, "false"):
		return false, true
	}
	return false, false
}

// date reads a time in ISO 8601 form, or epoch seconds, as epoch seconds.
func date(v string) (float64, bool) {
	for _, layout := range [...]string{time.RFC3339Nano, "2006-01-02T15:04Z07:00", time.DateOnly} {
		// A layout fails with an error that it allocates, so it is tried when it can fit.
		if len(v) >= len(time.DateOnly) && v[4] == '-' && (layout == time.DateOnly) == (len(v) == len(time.DateOnly)) {
			if t, err := time.Parse(layout, v); err == nil {
				return float64(t.Unix()) + float64(t.Nanosecond())/1e9, true
			}
		}
	}
	n, err := strconv.ParseFloat(v, 64)
	return n, err == nil
}

// operator is what the name of a condition operator says.
type operator struct {
	kind   testKind
	negate bool
	order  order
	like   bool // * and ? are wildcards
	fold   bool
}

// operators are the condition operators, without ForAnyValue:, ForAllValues: and
// IfExists. Null is apart.
var operators = map[string]operator{
	"StringEquals":              {},
	"StringNotEquals":           {negate: true},
	"StringEqualsIgnoreCase":    {fold: true},
	"StringNotEqualsIgnoreCase": {fold: true, negate: true},
	"StringLike":                {like: true},
	"StringNotLike":             {like: true, negate: true},
	"ArnEquals":                 {kind: arnTest},
	"ArnLike":                   {kind: arnTest},
	"ArnNotEquals":              {kind: arnTest, negate: true},
	"ArnNotLike":                {kind: arnTest, negate: true},
	"NumericEquals":             {kind: numberTest},
	"NumericNotEquals":          {kind: numberTest, negate: true},
	"NumericLessThan":           {kind: numberTest, order: less},
	"NumericLessThanEquals":     {kind: numberTest, order: lessOrEqual},
	"NumericGreaterThan":        {kind: numberTest, order: greater},
	"NumericGreaterThanEquals":  {kind: numberTest, order: greaterOrEqual},
	"DateEquals":                {kind: dateTest},
	"DateNotEquals":             {kind: dateTest, negate: true},
	"DateLessThan":              {kind: dateTest, order: less},
	"DateLessThanEquals":        {kind: dateTest, order: lessOrEqual},
	"DateGreaterThan":           {kind: dateTest, order: greater},
	"DateGreaterThanEquals":     {kind: dateTest, order: greaterOrEqual},
	"Bool":                      {kind: boolTest},
	"IpAddress":                 {kind: addressTest},
	"NotIpAddress":              {kind: addressTest, negate: true},
}
