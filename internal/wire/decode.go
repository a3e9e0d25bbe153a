package wire

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	// MaxBody bounds a request, in bytes. The largest request that the model
	// allows, a pipeline of 15 containers with full environments, fits.
	MaxBody = 4 << 20
	// maxDepth bounds the nesting of a request; the model's own is under 10.
	maxDepth = 64
	// maxElements bounds a list or map that the model leaves without a bound.
	maxElements = 10_000
)

// Decode reads the body of a request and checks it against the model. It is
// called with the type of the input: Decode[CreateTransformJobInput](body).
//
// An empty body is an empty input. Unknown members are ignored (CP-18), null is
// the same as absent, duplicate names and invalid UTF-8 are refused. The error
// is an *Error: a SerializationException for what is not JSON or has a member of
// the wrong type, a ValidationException that lists every violation (CP-16). The
// result holds no reference to body.
func Decode[T any, P interface {
	*T
	Message
}](body []byte) (*T, error) {
	v := new(T)
	if err := DecodeInto(body, P(v)); err != nil {
		return nil, err
	}
	return v, nil
}

// DecodeInto is Decode for an operation that is known at run time only. m must
// be empty, as NewInput makes it, and is of no use after an error.
func DecodeInto(body []byte, m Message) error {
	if err := unmarshal(body, m); err != nil {
		return err
	}
	return Validate(m)
}

// unmarshal is DecodeInto without the check against the constraints.
func unmarshal(body []byte, m Message) error {
	if len(body) > MaxBody {
		return Errorf(SerializationException, "The request has %d bytes, more than the %d that are accepted.", len(body), MaxBody)
	}
	if len(bytes.TrimLeft(body, " \t\r\n")) == 0 {
		return nil
	}
	service, id := m.Schema()
	d := decoder{json: jsontext.NewDecoder(bytes.NewBuffer(body)), shapes: service.Shapes, path: make(path, 0, 8)}
	if err := d.value(id, reflect.ValueOf(m).Elem()); err != nil {
		return err
	}
	switch _, err := d.json.ReadToken(); {
	case err == nil:
		return Errorf(SerializationException, "The request has more than one JSON value.")
	case err != io.EOF: // ReadToken never wraps it
		return notJSON(err)
	}
	return nil
}

type decoder struct {
	json   *jsontext.Decoder
	shapes []Shape
	path   path
}

// value reads the next JSON value into v, which must be settable.
func (d *decoder) value(id ShapeID, v reflect.Value) error {
	s := &d.shapes[id]
	got := d.json.PeekKind()
	if got == jsontext.KindInvalid {
		_, err := d.json.ReadToken()
		return notJSON(err)
	}
	switch s.Kind {
	case KindStructure, KindMap:
		if got != jsontext.KindBeginObject {
			return d.mismatch(got, s)
		}
		if s.Kind == KindMap {
			return d.mapping(s, v)
		}
		return d.structure(s, v)
	case KindList:
		if got != jsontext.KindBeginArray {
			return d.mismatch(got, s)
		}
		return d.list(s, v)
	}
	return d.scalar(got, s, v)
}

func (d *decoder) structure(s *Shape, v reflect.Value) error {
	if _, err := d.json.ReadToken(); err != nil {
		return notJSON(err)
	}
	if d.json.StackDepth() > maxDepth {
		return d.tooDeep()
	}
	for d.json.PeekKind() != jsontext.KindEndObject {
		name, err := d.name()
		if err != nil {
			return err
		}
		if err := d.member(s, s.find(name), v); err != nil {
			return err
		}
	}
	_, err := d.json.ReadToken()
	return notJSON(err)
}

// member reads the value of the member number i; -1 is an unknown one.
func (d *decoder) member(s *Shape, i int, v reflect.Value) error {
	if i < 0 || d.json.PeekKind() == jsontext.KindNull {
		return d.skip()
	}
	field := v.Field(i)
	if field.Kind() == reflect.Pointer {
		field.Set(reflect.New(field.Type().Elem()))
		field = field.Elem()
	}
	d.path.member(s.Members[i].Name)
	defer d.path.pop()
	return d.value(s.Members[i].Shape, field)
}

// name reads the name of a member. The bytes are valid until the next read.
func (d *decoder) name() ([]byte, error) {
	raw, err := d.json.ReadValue()
	if err != nil {
		return nil, notJSON(err)
	}
	return unquote(raw)
}

func (d *decoder) list(s *Shape, v reflect.Value) error {
	if _, err := d.json.ReadToken(); err != nil {
		return notJSON(err)
	}
	v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	for n := 0; d.json.PeekKind() != jsontext.KindEndArray; n++ {
		keep, err := d.room(s, n)
		if err != nil {
			return err
		}
		if !keep {
			if err := d.skip(); err != nil {
				return err
			}
			continue
		}
		v.Grow(1)
		v.SetLen(n + 1)
		v.Index(n).SetZero()
		d.path.element(n)
		if err := d.value(s.Elem, v.Index(n)); err != nil {
			return err
		}
		d.path.pop()
	}
	_, err := d.json.ReadToken()
	return notJSON(err)
}

func (d *decoder) mapping(s *Shape, v reflect.Value) error {
	if _, err := d.json.ReadToken(); err != nil {
		return notJSON(err)
	}
	v.Set(reflect.MakeMap(v.Type()))
	texts, ofStrings := v.Addr().Interface().(*map[string]string)
	for n := 0; d.json.PeekKind() != jsontext.KindEndObject; n++ {
		name, err := d.name()
		if err != nil {
			return err
		}
		keep, err := d.room(s, n)
		if err != nil {
			return err
		}
		if !keep {
			if err := d.skip(); err != nil {
				return err
			}
			continue
		}
		key := string(name)
		d.path.mapKey(key)
		elem := reflect.New(v.Type().Elem()).Elem()
		if err := d.value(s.Elem, elem); err != nil {
			return err
		}
		d.path.pop()
		if ofStrings {
			(*texts)[key] = elem.String()
		} else {
			v.SetMapIndex(reflect.ValueOf(key), elem)
		}
	}
	_, err := d.json.ReadToken()
	return notJSON(err)
}

// room says whether element n of a list or map is kept. One more than allowed
// is kept, so that validation sees the violation; what comes after costs no
// memory.
func (d *decoder) room(s *Shape, n int) (bool, error) {
	if s.Bounds&HasMax != 0 {
		return n <= int(s.Max), nil
	}
	if n >= maxElements {
		return false, Errorf(SerializationException, "More than %d elements%s.", maxElements, d.where())
	}
	return true, nil
}

// skip reads a value of any kind and forgets it.
func (d *decoder) skip() error {
	base := d.json.StackDepth()
	for {
		if _, err := d.json.ReadToken(); err != nil {
			return notJSON(err)
		}
		switch depth := d.json.StackDepth(); {
		case depth <= base:
			return nil
		case depth > maxDepth:
			return d.tooDeep()
		}
	}
}

func (d *decoder) tooDeep() error {
	return Errorf(SerializationException, "The request is nested deeper than %d levels.", maxDepth)
}

// where is the end of a text: " at 'path'", or nothing at the top.
func (d *decoder) where() string {
	if len(d.path) == 0 {
		return ""
	}
	return " at '" + d.path.String() + "'"
}

// notJSON makes a SerializationException of an error of the tokenizer.
func notJSON(err error) error {
	if err == nil {
		return nil
	}
	reason, at := err, int64(-1)
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		reason, at = syntax.Err, syntax.ByteOffset
	}
	text := printable(strings.TrimPrefix(reason.Error(), "jsontext: "))
	if at < 0 {
		return Errorf(SerializationException, "The request is not valid JSON: %s.", text)
	}
	return Errorf(SerializationException, "The request is not valid JSON: %s, at byte %d.", text, at)
}
