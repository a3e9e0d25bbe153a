package wiretest

import (
	"encoding/base64"
	"encoding/json"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/wire"
)

// Sample makes a JSON value, as encoding/json knows it, that satisfies a shape,
// with every member of every structure set.
func (s Suite) Sample(t testing.TB, id wire.ShapeID) any {
	t.Helper()
	shape := &s.Service.Shapes[id]
	switch shape.Kind {
	case wire.KindStructure:
		all := map[string]any{}
		for _, m := range shape.Members {
			all[m.Name] = s.Sample(t, m.Shape)
		}
		return all
	case wire.KindList:
		all := []any{}
		for range max(1, int(shape.Min)) {
			all = append(all, s.Sample(t, shape.Elem))
		}
		return all
	case wire.KindMap:
		return map[string]any{s.Sample(t, shape.Key).(string): s.Sample(t, shape.Elem)}
	case wire.KindString:
		return s.text(t, shape)
	case wire.KindBlob:
		return base64.StdEncoding.EncodeToString(make([]byte, max(1, int(shape.Min))))
	case wire.KindBoolean:
		return true
	case wire.KindTimestamp:
		return json.Number("1650241569.032")
	}
	return json.Number(boundText(shape, max(shape.Min, 1)))
}

// text makes a string that satisfies a shape.
func (s Suite) text(t testing.TB, shape *wire.Shape) string {
	if shape.Enum != nil {
		return shape.Enum[len(shape.Enum)-1]
	}
	text := "a plain text"
	if shape.Pattern != nil {
		var ok bool
		if text, ok = matching[shape.Pattern.Text]; !ok {
			t.Fatalf("matching has nothing for the pattern %s of %s", shape.Pattern.Text, shape.Name)
		}
	}
	for len(text) < int(shape.Min) {
		text += "a"
	}
	if shape.Pattern == nil && shape.Bounds&wire.HasMax != 0 && len(text) > int(shape.Max) {
		text = text[:int(shape.Max)]
	}
	return text
}

// Body writes a JSON value.
func Body(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
