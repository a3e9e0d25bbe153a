package vectors_test

import (
	"bytes"
	"fmt"
	"maps"
)

// cells crosses a vector with the ways to assemble, to lay out and to compress.
// The vector's model echoes, so that its requests are the answers, too. A streamed
// answer cannot be framed as RecordIO; assemble.json says what becomes of it.
func (v *vector) cells() (all []*vector) {
	streamed := v.Headers["Transfer-Encoding"] != nil
	for _, assemble := range []string{"None", "Line", "RecordIO"} {
		if streamed && assemble == "RecordIO" {
			continue
		}
		for _, layout := range []string{"single", "parts"} {
			for _, compression := range []string{"None", "Gzip"} {
				all = append(all, v.cell(assemble, layout, compression))
			}
		}
	}
	return all
}

// cell is the vector under other settings. In parts, each answer is an object.
func (v *vector) cell(assemble, layout, compression string) *vector {
	c := *v
	c.Name = fmt.Sprintf("%s, %s, %s, %s", v.Name, assemble, layout, compression)
	c.Tags = map[string]string{"sagebrush:output-layout": layout}
	c.Job = map[string]any{}
	merge(c.Job, copied(v.Job))
	merge(c.Job, map[string]any{"TransformInput": map[string]any{"CompressionType": compression}, "TransformOutput": map[string]any{"AssembleWith": assemble}})
	c.Input, c.Output = maps.Clone(v.Input), map[string]data{}
	for key, body := range v.Input {
		if compression == "Gzip" {
			c.Input[key] = zipped(body)
		}
		for suffix, part := range assembled(v.Requests, assemble, layout) {
			c.Output[key[len("in/"):]+suffix] = part
		}
	}
	return &c
}

// copied copies the objects of a JSON value.
func copied(m map[string]any) map[string]any {
	out := map[string]any{}
	for key, value := range m {
		if inner, ok := value.(map[string]any); ok {
			value = copied(inner)
		}
		out[key] = value
	}
	return out
}

// assembled joins answers (BT-107 to BT-109, SD-5, SD-6); the keys are what is
// added to the input's name.
func assembled(answers []requests, assemble, layout string) map[string]data {
	var all [][]byte
	for _, r := range answers {
		for range r.Times {
			all = append(all, framed(r.Body, assemble))
		}
	}
	if layout == "single" {
		return map[string]data{".out": bytes.Join(all, nil)}
	}
	if len(all) == 0 {
		all = [][]byte{nil} // an object without answers has one empty part
	}
	parts := map[string]data{}
	for i, answer := range all {
		parts[fmt.Sprintf(".part%04d", i+1)] = answer
	}
	return parts
}

func framed(answer []byte, assemble string) []byte {
	switch {
	case assemble == "RecordIO":
		return recordIO(answer)
	case assemble == "Line" && !bytes.HasSuffix(answer, []byte("\n")):
		return append(bytes.Clone(answer), '\n')
	}
	return answer
}
