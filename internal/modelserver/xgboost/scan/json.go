package scan

import (
	"fmt"
	"math"
)

// MaxDepth bounds how deep JSON may nest where its values are strangers'. A
// model needs fewer than ten levels.
const MaxDepth = 64

// A Cursor reads JSON from its current place on. It reads what the standard
// library's decoder cannot: the bare NaN and Infinity that XGBoost writes, and
// rows of numbers without an allocation for each.
type Cursor struct {
	Data []byte
	At   int
}

// Fail is an error that names the cursor's place.
func (c *Cursor) Fail(what string) error {
	return fmt.Errorf("%s at byte %d", what, c.At+1)
}

// Peek skips white space and returns the next byte, 0 at the end.
func (c *Cursor) Peek() byte {
	for c.At < len(c.Data) {
		switch b := c.Data[c.At]; b {
		case ' ', '\t', '\r', '\n':
			c.At++
		default:
			return b
		}
	}
	return 0
}

// Take consumes the next byte when it is b.
func (c *Cursor) Take(b byte) bool {
	if c.Peek() != b || c.At == len(c.Data) {
		return false
	}
	c.At++
	return true
}

// Word consumes the given letters.
func (c *Cursor) Word(w string) bool {
	if len(c.Data)-c.At < len(w) || string(c.Data[c.At:c.At+len(w)]) != w {
		return false
	}
	c.At += len(w)
	return true
}

// Text reads a string and returns its bytes between the quotes, escapes and all.
func (c *Cursor) Text() ([]byte, error) {
	if !c.Take('"') {
		return nil, c.Fail("a string is missing")
	}
	start := c.At
	for ; c.At < len(c.Data); c.At++ {
		switch c.Data[c.At] {
		case '\\':
			c.At++
		case '"':
			c.At++
			return c.Data[start : c.At-1], nil
		}
	}
	return nil, c.Fail("a string does not end")
}

// Members calls member with the raw key of every member of an object, which is
// to read the value. The cursor stands at the opening brace.
func (c *Cursor) Members(member func(name []byte) error) error {
	c.At++
	if c.Take('}') {
		return nil
	}
	for {
		name, err := c.Text()
		if err != nil {
			return err
		}
		if !c.Take(':') {
			return c.Fail("a colon is missing")
		}
		if err := member(name); err != nil {
			return err
		}
		if c.Take('}') {
			return nil
		}
		if !c.Take(',') {
			return c.Fail("a comma or } is missing")
		}
	}
}

// Skip reads over one value of any kind.
func (c *Cursor) Skip(depth int) error {
	if depth == 0 {
		return c.Fail("values nest too deep")
	}
	switch c.Peek() {
	case '{':
		return c.Members(func([]byte) error { return c.Skip(depth - 1) })
	case '[':
		c.At++
		if c.Take(']') {
			return nil
		}
		for {
			if err := c.Skip(depth - 1); err != nil {
				return err
			}
			if c.Take(']') {
				return nil
			}
			if !c.Take(',') {
				return c.Fail("a comma or ] is missing")
			}
		}
	case '"':
		_, err := c.Text()
		return err
	}
	if c.Word("true") || c.Word("false") || c.Word("null") {
		return nil
	}
	if _, ok := c.Number(); !ok {
		return c.Fail("a value is missing")
	}
	return nil
}

// Plain reads a number, boolean or null.
func (c *Cursor) Plain() (any, error) {
	switch {
	case c.Word("true"):
		return true, nil
	case c.Word("false"):
		return false, nil
	case c.Word("null"):
		return nil, nil
	}
	v, ok := c.Number()
	if !ok {
		return nil, c.Fail("a value is missing")
	}
	return v, nil
}

// Number reads a number, NaN or Infinity. One with a point or an exponent is
// the float32 nearest to it, since XGBoost has no other kind.
func (c *Cursor) Number() (float64, bool) {
	negative := c.At < len(c.Data) && c.Data[c.At] == '-'
	rest := c.Data[c.At:]
	if d, n := scanDecimal(rest); n > 0 {
		c.At += n
		if d.exact && d.power == 0 && d.mantissa < 1<<53 {
			if negative {
				return -float64(d.mantissa), true
			}
			return float64(d.mantissa), true
		}
		v, _ := Float(rest)
		return float64(v), true
	}
	switch {
	case c.Word("NaN"):
		return math.NaN(), true
	case c.Word("Infinity"):
		return math.Inf(1), true
	case c.Word("-Infinity"):
		return math.Inf(-1), true
	}
	return 0, false
}
