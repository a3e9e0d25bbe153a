package router

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/memstore"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// lines gives the captured lines by the folder of their object, once the router has
// ended, without what differs from run to run.
func (w *world) lines(t *testing.T) map[string][]string {
	t.Helper()
	w.router.Close()
	found := map[string][]string{}
	name := regexp.MustCompile(`^(capture/.*)/2018/08/30/23/59-58-007-[0-9a-f-]{36}\.jsonl$`) // EP-51
	for info, err := range w.objects.List(t.Context(), "bucket", "capture/") {
		if err != nil {
			t.Fatal(err)
		}
		parts := name.FindStringSubmatch(info.Key)
		if parts == nil {
			t.Fatalf("object %q", info.Key)
		}
		body, _ := w.objects.Body(info.Ref)
		for line := range strings.Lines(body) {
			found[parts[1]] = append(found[parts[1]], regexp.MustCompile(`"eventId":"[0-9a-f-]{36}"`).ReplaceAllString(strings.TrimSpace(line), `"eventId":""`))
		}
	}
	return found
}

func capturing(t *testing.T) *world {
	return newWorld(t, func(o *Options) {
		o.Now = func() time.Time { return time.Date(2018, 8, 30, 23, 59, 58, 7_000_000, time.UTC) }
	})
}

func captureAll() *resource.DataCapture {
	return &resource.DataCapture{Enabled: true, Percent: 100, DestinationURI: "s3://bucket/capture/", Input: true, Output: true, CSV: []string{"text/csv"}, JSON: []string{"application/json"}}
}

// EP-50 to EP-52: the layout, the encodings, the options.
func TestCapture(t *testing.T) {
	t.Parallel()
	w := capturing(t)
	w.images["model"] = handler(echo)
	in := w.launch(single("model"))
	both := endpoint("both", variant("v", 1, in))
	both.Capture = captureAll()
	output := endpoint("output", variant("v", 1, in))
	output.Capture = captureAll()
	output.Capture.Input = false
	off := endpoint("off", variant("v", 1, in))
	off.Capture = captureAll()
	off.Capture.Enabled = false
	w.publish(both, output, off)
	for _, c := range []struct{ endpoint, kind, id, body string }{
		{"both", "text/csv; charset=utf-8", "my-id", "1,\"<2>\"\n"},
		{"both", "APPLICATION/JSON", "", `{"a":1}`},
		{"both", "text/csv", "", "\xff"},
		{"both", "image/png", "", "png"},
		{"both", "", "", "none"},
		{"output", "text/csv", "", "x"},
		{"off", "text/csv", "", "x"},
	} {
		q := request(c.endpoint, c.body)
		q.ContentType, q.InferenceID = c.kind, c.id
		if _, err := w.router.Invoke(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	side := func(kind, mode, data, encoding string) string {
		if kind != "" {
			kind = fmt.Sprintf(`"observedContentType":%q,`, kind)
		}
		return fmt.Sprintf(`{%s"mode":%q,"data":%s,"encoding":%q}`, kind, mode, data, encoding)
	}
	line := func(kind, data, encoding, id string) string {
		return `{"captureData":{"endpointInput":` + side(kind, "INPUT", data, encoding) + `,"endpointOutput":` + side(kind, "OUTPUT", data, encoding) +
			`},"eventMetadata":{"eventId":"",` + id + `"inferenceTime":"2018-08-30T23:59:58Z"},"eventVersion":"0"}`
	}
	want := map[string][]string{
		"capture/both/v": {
			line("text/csv; charset=utf-8", `"1,\"<2>\"\n"`, "CSV", `"inferenceId":"my-id",`),
			line("APPLICATION/JSON", `"{\"a\":1}"`, "JSON", ""),
			line("text/csv", `"/w=="`, "BASE64", ""),
			line("image/png", `"cG5n"`, "BASE64", ""),
			line("", `"bm9uZQ=="`, "BASE64", ""),
		},
		"capture/output/v": {`{"captureData":{"endpointOutput":` + side("text/csv", "OUTPUT", `"x"`, "CSV") + `},"eventMetadata":{"eventId":"","inferenceTime":"2018-08-30T23:59:58Z"},"eventVersion":"0"}`},
	}
	if diff := cmp.Diff(want, w.lines(t)); diff != "" {
		t.Error(diff)
	}
}

// EP-50: a part of the requests is captured.
func TestCaptureSamples(t *testing.T) {
	t.Parallel()
	e := endpoint("e")
	e.Capture = captureAll()
	e.Capture.Percent = 30
	const n = 20000
	hits := 0
	for range n {
		if e.sampled() {
			hits++
		}
	}
	// 4.9 standard deviations: one run in a million misses it by chance.
	if off := math.Abs(float64(hits) - .3*n); off > 4.9*math.Sqrt(n*.3*.7) {
		t.Errorf("%d of %d requests are captured", hits, n)
	}
	e.Capture.Percent = 0
	if e.sampled() {
		t.Error("0 % captures")
	}
}

// A stream is captured when all of it is there.
func TestCaptureOfStreams(t *testing.T) {
	t.Parallel()
	w := capturing(t)
	w.images["model"] = handler(status(200, "streamed"))
	e := endpoint("e", variant("v", 1, w.launch(single("model"))))
	e.Capture = captureAll()
	e.Capture.Input = false
	w.publish(e)
	q := request("e", "x")
	q.Operation = Stream
	if err := w.router.InvokeStream(t.Context(), q, newParts().begin); err != nil {
		t.Fatal(err)
	}
	got := w.lines(t)["capture/e/v"]
	var line struct {
		CaptureData struct {
			EndpointOutput struct{ Data string }
		}
	}
	if len(got) != 1 || json.Unmarshal([]byte(got[0]), &line) != nil || line.CaptureData.EndpointOutput.Data != "c3RyZWFtZWQ=" {
		t.Errorf("lines %v", got)
	}
}

// EP-53: a store that fails loses what was captured, and fails no request; memory is
// bounded.
func TestCaptureIsBestEffort(t *testing.T) {
	t.Parallel()
	w := capturing(t)
	w.images["model"] = handler(echo)
	w.objects.Fault = func(op memstore.Op) error {
		return objstore.Unavailable(op.Ref, "writing", fmt.Errorf("down"))
	}
	e := endpoint("e", variant("v", 1, w.launch(single("model"))))
	e.Capture = captureAll()
	w.publish(e)
	const asked, size = 40, 3 << 20
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range asked / 4 {
				if _, err := w.router.Invoke(t.Context(), request("e", strings.Repeat("x", size))); err != nil {
					t.Error(err)
				}
				w.router.capture.mu.Lock()
				if held := w.router.capture.held; held > captureHeld {
					t.Errorf("%d bytes are held", held)
				}
				w.router.capture.mu.Unlock()
			}
		})
	}
	all.Wait()
	w.router.Close()
	if s, _ := w.router.Stats(region, "e", "v"); s.CaptureDropped != asked || s.Invocations != asked {
		t.Errorf("%d of %d are counted as dropped", s.CaptureDropped, asked)
	}
	if w.router.capture.held != 0 {
		t.Errorf("%d bytes are still held", w.router.capture.held)
	}
}

// EP-36: shadows get their share of copies, their failures and their slowness are
// nobody's, and what they cannot take is dropped.
func TestShadows(t *testing.T) {
	t.Parallel()
	w := capturing(t)
	s := newSlow()
	w.images["model"], w.images["slow"], w.images["bad"] = handler(echo), s.image, handler(status(500, "boom"))
	e := endpoint("e", variant("v", 2, w.launch(single("model"))))
	half := variant("half", 1, w.launch(single("bad")))
	e.Shadows = []*Variant{half}
	w.publish(e)
	const asked = 200
	for range asked {
		a, err := w.router.Invoke(t.Context(), request("e", "hello"))
		if err != nil || string(a.Body) != "hello" || a.Variant != "v" {
			t.Fatal(a, err)
		}
	}
	copies := func() int64 {
		st, _ := w.router.Stats(region, "e", "half")
		return st.Invocations + st.ShadowDropped
	}
	last := int64(-1)
	waitFor(t, "the copies", func() bool {
		now := copies()
		done := now == last && w.router.shadows.copies.Load() == 0
		last = now
		return done
	})
	// 4.9 standard deviations around the half.
	if off := math.Abs(float64(copies()) - asked/2); off > 4.9*math.Sqrt(asked*.25) {
		t.Errorf("%d copies of %d requests", copies(), asked)
	}
	if st, _ := w.router.Stats(region, "e", "v"); st.ModelErrors != 0 || st.Invocations != asked {
		t.Errorf("stats %+v", st)
	}
	stuck := endpoint("e", variant("v", 1, e.Variants[0].Instances[0]))
	stuck.Shadows = []*Variant{variant("stuck", 5, w.launch(single("slow")))}
	w.publish(stuck)
	for range 2 * maxShadows {
		if _, err := w.router.Invoke(t.Context(), request("e", "hello")); err != nil {
			t.Fatal(err)
		}
	}
	if st, _ := w.router.Stats(region, "e", "stuck"); st.ShadowDropped != maxShadows || st.InFlight > maxShadows || !st.Shadow {
		t.Errorf("stats %+v", st)
	}
	close(s.free)
	waitFor(t, "the copies", func() bool { return w.router.shadows.copies.Load() == 0 })
	if n := stuck.Shadows[0].Instances[0].Outstanding(); n != 0 {
		t.Errorf("%d places are not given back", n)
	}
}

// A shadow's answers are captured under its own name.
func TestShadowsAreCaptured(t *testing.T) {
	t.Parallel()
	w := capturing(t)
	w.images["model"] = handler(echo)
	in := w.launch(single("model"))
	e := endpoint("e", variant("v", 1, in))
	e.Shadows = []*Variant{variant("s", 1, in)}
	e.Capture = captureAll()
	w.publish(e)
	if _, err := w.router.Invoke(t.Context(), request("e", "x")); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the copy", func() bool { s, _ := w.router.Stats(region, "e", "s"); return s.Invocations == 1 })
	if got := w.lines(t); len(got["capture/e/v"]) != 1 || len(got["capture/e/s"]) != 1 {
		t.Errorf("lines %v", got)
	}
}
