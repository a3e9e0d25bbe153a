package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// MaxDocument bounds a document, in bytes.
const MaxDocument = 20 << 10

// Parse reads a document that is attached to an identity or a session. keys are
// the condition keys that may occur in it. The error is a fault.Invalid with the
// place.
func Parse(name, document string, keys *Keys) (*Policy, error) {
	if len(document) > MaxDocument {
		return nil, fault.New(fault.Invalid, "The policy %q has %d bytes, and may have %d.", name, len(document), MaxDocument)
	}
	r := reader{json: jsontext.NewDecoder(bytes.NewBufferString(document)), keys: keys}
	p := &Policy{Name: name, Document: document}
	err := r.document(p)
	if err == io.EOF {
		err = errors.New("the document is empty")
	}
	if err == nil {
		if _, after := r.json.ReadToken(); after != io.EOF {
			err = errors.New("something follows the document")
		}
	}
	if err != nil {
		place := ""
		if len(r.path) > 0 {
			place = " at " + strings.Join(r.path, ".")
		}
		return nil, fault.New(fault.Invalid, "The policy %q is not valid%s: %s.", name, place, strings.TrimPrefix(err.Error(), "jsontext: "))
	}
	return p, nil
}

// reader reads a document. path is where it is; it is kept when it fails.
type reader struct {
	json      *jsontext.Decoder
	path      []string
	keys      *Keys
	variables bool
}

// object reads an object and calls fn for each of its members, which must read its
// value. Names that come twice are refused by the tokenizer.
func (r *reader) object(fn func(name string) error) error {
	if kind := r.json.PeekKind(); kind != jsontext.KindBeginObject {
		return r.wrong("an object", kind)
	}
	if _, err := r.json.ReadToken(); err != nil {
		return err
	}
	for r.json.PeekKind() != jsontext.KindEndObject {
		t, err := r.json.ReadToken()
		if err != nil {
			return err
		}
		name := t.String()
		r.path = append(r.path, printable(name))
		if err := fn(name); err != nil {
			return err
		}
		r.path = r.path[:len(r.path)-1]
	}
	_, err := r.json.ReadToken()
	return err
}

// each reads a value, or a list of them, and calls fn for each.
func (r *reader) each(fn func() error) error {
	if r.json.PeekKind() != jsontext.KindBeginArray {
		return fn()
	}
	if _, err := r.json.ReadToken(); err != nil {
		return err
	}
	n := 0
	for ; r.json.PeekKind() != jsontext.KindEndArray; n++ {
		r.path = append(r.path, strconv.Itoa(n))
		if err := fn(); err != nil {
			return err
		}
		r.path = r.path[:len(r.path)-1]
	}
	if n == 0 {
		return errors.New("the list is empty")
	}
	_, err := r.json.ReadToken()
	return err
}

// text reads a string.
func (r *reader) text() (string, error) {
	if kind := r.json.PeekKind(); kind != jsontext.KindString {
		return "", r.wrong("a string", kind)
	}
	t, err := r.json.ReadToken()
	if err != nil {
		return "", err
	}
	return t.String(), nil
}

// scalar reads a string, a number or a boolean, as text.
func (r *reader) scalar() (string, error) {
	switch kind := r.json.PeekKind(); kind {
	case jsontext.KindString, jsontext.KindNumber, jsontext.KindTrue, jsontext.KindFalse:
		t, err := r.json.ReadToken()
		if err != nil {
			return "", err
		}
		return t.String(), nil
	default:
		return "", r.wrong("a string, a number or a boolean", kind)
	}
}

func (r *reader) wrong(want string, kind jsontext.Kind) error {
	if kind == jsontext.KindInvalid {
		_, err := r.json.ReadToken()
		return err
	}
	return fmt.Errorf("there must be %s", want)
}

func (r *reader) document(p *Policy) error {
	// The version decides how all else is read, and may stand anywhere.
	r.variables = version.MatchString(p.Document)
	has := false
	err := r.object(func(name string) error {
		switch name {
		case "Version":
			v, err := r.text()
			if err == nil && v != "2012-10-17" && v != "2008-10-17" {
				err = fmt.Errorf("the version is %q, and must be 2012-10-17 or 2008-10-17", printable(v))
			}
			if err == nil && r.variables != (v == "2012-10-17") {
				err = errors.New("write the version without escapes")
			}
			return err
		case "Id":
			_, err := r.text()
			return err
		case "Statement":
			has = true
			return r.each(func() error { return r.statement(p) })
		}
		return errors.New("there is no such element")
	})
	if err == nil && !has {
		err = errors.New("there is no Statement")
	}
	return err
}

// version finds the version with variables before the document is read.
var version = regexp.MustCompile(`"Version"\s*:\s*"2012-10-17"`)

// sids are the names of statements.
var sids = regexp.MustCompile(`^[A-Za-z0-9 ]{0,128}$`)

func (r *reader) statement(p *Policy) error {
	var st statement
	seen := map[string]bool{}
	err := r.object(func(name string) error {
		seen[name] = true
		switch name {
		case "Sid":
			return r.sid(&st, p)
		case "Effect":
			return r.effect(&st)
		case "Action", "NotAction":
			st.notActions = name == "NotAction"
			return r.each(func() error { return r.action(&st) })
		case "Resource", "NotResource":
			st.notRes = name == "NotResource"
			return r.each(func() error { return r.resource(&st) })
		case "Condition":
			return r.object(func(operator string) error {
				return r.object(func(key string) error { return r.condition(&st, operator, key) })
			})
		case "Principal", "NotPrincipal":
			return errors.New("a policy of an identity or a session names no principal")
		}
		return errors.New("there is no such element")
	})
	switch {
	case err != nil:
		return err
	case !seen["Effect"]:
		return errors.New("there is no Effect")
	case seen["Action"] == seen["NotAction"]:
		return errors.New("there must be one of Action and NotAction")
	case seen["Resource"] == seen["NotResource"]:
		return errors.New("there must be one of Resource and NotResource")
	}
	p.statements = append(p.statements, st)
	return nil
}

func (r *reader) sid(st *statement, p *Policy) (err error) {
	if st.sid, err = r.text(); err != nil {
		return err
	}
	if !sids.MatchString(st.sid) {
		return errors.New("it may have up to 128 letters, digits and spaces")
	}
	for i := range p.statements {
		if st.sid != "" && p.statements[i].sid == st.sid {
			return errors.New("another statement has it already")
		}
	}
	return nil
}

func (r *reader) effect(st *statement) error {
	v, err := r.text()
	switch {
	case err != nil:
		return err
	case v == "Allow":
		st.effect = Allow
	case v == "Deny":
		st.effect = Deny
	default:
		return fmt.Errorf("it is %q, and must be Allow or Deny", printable(v))
	}
	return nil
}

// actions are the names that actions may have, with wildcards.
var actions = regexp.MustCompile(`^(\*|(\*|[A-Za-z0-9-]{1,64}):[A-Za-z0-9*?]{1,128})$`)

func (r *reader) action(st *statement) error {
	v, err := r.text()
	if err != nil {
		return err
	}
	if !actions.MatchString(v) {
		return fmt.Errorf("%q is no action: it must be service:name, which may have wildcards", printable(v))
	}
	p, err := compiler{keys: r.keys, wildcards: true}.compile(v)
	p.fold = true
	st.actions = append(st.actions, p)
	return err
}

func (r *reader) resource(st *statement) error {
	v, err := r.text()
	if err != nil {
		return err
	}
	p, err := r.compiler(true).compileARN(v)
	st.resources = append(st.resources, p)
	st.variables = st.variables || p.variable()
	return err
}

func (r *reader) compiler(wildcards bool) compiler {
	return compiler{keys: r.keys, wildcards: wildcards, variables: r.variables}
}

// condition reads the values of one key under one operator.
func (r *reader) condition(st *statement, name, key string) error {
	if err := r.keys.check(key); err != nil {
		return err
	}
	c := condition{key: key}
	op, err := c.operator(name)
	if err != nil {
		return err
	}
	err = r.each(func() error {
		v, err := r.scalar()
		if err != nil {
			return err
		}
		return r.operand(&c, op, v)
	})
	st.conditions = append(st.conditions, c)
	return err
}

// operator reads the name of an operator with its quantifier and IfExists.
func (c *condition) operator(name string) (operator, error) {
	base, quantified := name, true
	if rest, ok := strings.CutPrefix(name, "ForAnyValue:"); ok {
		c.over, base = anyOf, rest
	} else if rest, ok := strings.CutPrefix(name, "ForAllValues:"); ok {
		c.over, base = allOf, rest
	} else {
		quantified = false
	}
	base, c.exists = strings.CutSuffix(base, "IfExists")
	if base == "Null" && !c.exists && !quantified {
		c.over = absent
		return operator{kind: boolTest}, nil
	}
	op, ok := operators[base]
	if !ok {
		return op, fmt.Errorf("%q is no condition operator", printable(name))
	}
	c.negate = op.negate
	c.test.kind, c.test.order = op.kind, op.order
	return op, nil
}

// operand adds a value that the operator compares with.
func (r *reader) operand(c *condition, op operator, v string) (err error) {
	t := &c.test
	bad := func(want string) error { return fmt.Errorf("%q is no %s", printable(v), want) }
	switch op.kind {
	case stringTest:
		var p pattern
		p, err = r.compiler(op.like).compile(v)
		p.fold = op.fold
		t.patterns = append(t.patterns, p)
	case arnTest:
		var p arnPattern
		p, err = r.compiler(true).compileARN(v)
		t.arns = append(t.arns, p)
	case numberTest:
		n, parsed := strconv.ParseFloat(v, 64)
		if parsed != nil || math.IsNaN(n) || math.IsInf(n, 0) {
			return bad("number")
		}
		t.numbers = append(t.numbers, n)
	case dateTest:
		n, ok := date(v)
		if !ok || math.IsNaN(n) || math.IsInf(n, 0) {
			return bad("date")
		}
		t.numbers = append(t.numbers, n)
	case boolTest:
		b, ok := boolean(v)
		if !ok {
			return bad("boolean")
		}
		t.bools = append(t.bools, b)
	case addressTest:
		p, ok := prefix(v)
		if !ok {
			return bad("address or range of addresses")
		}
		t.prefixes = append(t.prefixes, p)
	}
	return err
}

// prefix reads an address or a range of them.
func prefix(v string) (netip.Prefix, bool) {
	if p, err := netip.ParsePrefix(v); err == nil {
		return p.Masked(), true
	}
	ip, err := netip.ParseAddr(v)
	if err != nil || ip.Zone() != "" {
		return netip.Prefix{}, false
	}
	ip = ip.Unmap()
	return netip.PrefixFrom(ip, ip.BitLen()), true
}

// printable bounds a stranger's text.
func printable(s string) string {
	if len(s) > 100 {
		s = s[:100] + "..."
	}
	quoted := strconv.QuoteToASCII(s)
	return quoted[1 : len(quoted)-1]
}
