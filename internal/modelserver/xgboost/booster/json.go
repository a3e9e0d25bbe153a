package booster

import (
	"encoding/json"
	"errors"

	"github.com/sagebrush-ml/sagebrush/internal/modelserver/xgboost/scan"
)

// A parser builds the values of a JSON document, see object.
type parser struct{ scan.Cursor }

// parseJSON parses a whole document, see object for the values.
func parseJSON(data []byte) (any, error) {
	c := &parser{scan.Cursor{Data: data}}
	v, err := c.value(scan.MaxDepth)
	if err != nil {
		return nil, err
	}
	for c.At < len(data) && data[c.At] == 0 {
		c.At++ // the C API ends its text with a zero byte
	}
	if c.Peek(); c.At < len(data) {
		return nil, c.Fail("more data behind the model")
	}
	return v, nil
}

func (c *parser) value(depth int) (any, error) {
	if depth == 0 {
		return nil, c.Fail("values nest too deep")
	}
	switch c.Peek() {
	case '{':
		o := object{}
		err := c.Members(func(name []byte) error {
			v, err := c.value(depth - 1)
			o[string(name)] = v
			return err
		})
		return o, err
	case '[':
		return c.array(depth)
	case '"':
		raw, err := c.Text()
		if err != nil {
			return nil, err
		}
		return unquote(raw)
	}
	return c.Plain()
}

func (c *parser) array(depth int) (any, error) {
	c.At++
	var l list
	if c.Take(']') {
		return l.value(), nil
	}
	for {
		v, err := c.value(depth - 1)
		if err != nil {
			return nil, err
		}
		l.add(v)
		if c.Take(']') {
			return l.value(), nil
		}
		if !c.Take(',') {
			return nil, c.Fail("a comma or ] is missing")
		}
	}
}

// unquote resolves the escapes of a string. Keys are compared raw: none that
// matters has an escape.
func unquote(raw []byte) (string, error) {
	for _, b := range raw {
		if b == '\\' {
			var s string
			quoted := append(append([]byte{'"'}, raw...), '"')
			if err := json.Unmarshal(quoted, &s); err != nil {
				return "", errors.New("a string has a broken escape")
			}
			return s, nil
		}
	}
	return string(raw), nil
}

// A list collects an array: numbers as long as there are only numbers.
type list struct {
	numbers []float64
	any     []any
}

func (l *list) add(v any) {
	if l.any == nil {
		switch n := v.(type) {
		case float64:
			l.numbers = append(l.numbers, n)
			return
		case bool:
			l.numbers = append(l.numbers, 0)
			if n {
				l.numbers[len(l.numbers)-1] = 1
			}
			return
		}
		for _, n := range l.numbers {
			l.any = append(l.any, n)
		}
		l.numbers = nil
	}
	l.any = append(l.any, v)
}

func (l *list) value() any {
	if l.any != nil {
		return l.any
	}
	return l.numbers
}
