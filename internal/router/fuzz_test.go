package router

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// Whatever a client and a container send, a captured record is one line of JSON from which
// the bodies can be had again (EP-52).
func FuzzCaptured(f *testing.F) {
	f.Add([]byte("1,2\n3,4"), "text/csv", []byte(`{"a":"\u2028"}`), "application/json; charset=utf-8", "id")
	f.Add([]byte{0xff, 0}, "text/csv", []byte(nil), "", "\n\xff")
	f.Add([]byte("<\u2028>"), "TEXT/CSV", []byte("x"), ";;=", "")
	f.Fuzz(func(t *testing.T, in []byte, inType string, out []byte, outType, id string) {
		c := &captured{
			config: &resource.DataCapture{CSV: []string{"text/csv"}, JSON: []string{"application/json"}},
			input:  in, inType: inType, hasInput: true, output: out, outType: outType, hasOutput: true, inferenceID: id, at: time.Unix(1, 0),
		}
		line, err := c.line()
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Count(line, []byte("\n")) != 1 || line[len(line)-1] != '\n' || !utf8.Valid(line) {
			t.Fatalf("%q is not one line", line)
		}
		var got struct {
			CaptureData struct{ EndpointInput, EndpointOutput captureData }
		}
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatal(err)
		}
		for want, side := range map[*[]byte]captureData{&in: got.CaptureData.EndpointInput, &out: got.CaptureData.EndpointOutput} {
			body := []byte(side.Data)
			if side.Encoding == "BASE64" {
				if body, err = base64.StdEncoding.DecodeString(side.Data); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(body, *want) {
				t.Errorf("%q became %q", *want, body)
			}
		}
	})
}
