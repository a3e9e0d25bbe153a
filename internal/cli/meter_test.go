package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sagebrush-ml/sagebrush/internal/api"
	"github.com/sagebrush-ml/sagebrush/internal/transform"
)

func half() api.JobProgress {
	eta := 2.25
	return api.JobProgress{Name: "nightly", Status: "InProgress", Snapshot: transform.Snapshot{
		Objects: 4, ObjectsDone: 2, InputBytes: 1000, InputBytesRead: 629, Records: 33412,
		BytesIn: 1_130_000, BytesOut: 98_400, Instances: 2, RecordsPerSec: 182_345, ETASeconds: &eta,
	}}
}

func TestBar(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	m := newMeter(&screen{unicode: true}, now)
	for n, want := range map[int]string{
		120: "[███████████████░░░░░░░░░]  62%  2/4 objects  33,412 records  182,000/s  ETA 2.2 s  1.1 MB in  98 kB out",
		79:  "[█████████░░░░░░]  62%  2/4 objects  33,412 records  182,000/s  ETA 2.2 s",
		40:  "[██████░░░░]  62%  2/4 objects",
		8:   "62%",
	} {
		got := m.bar(half(), now, n)
		if utf8.RuneCountInString(got) > n {
			t.Errorf("%d columns: %q has %d", n, got, utf8.RuneCountInString(got))
		}
		if got != want {
			t.Errorf("%d columns:\n got %q\nwant %q", n, got, want)
		}
	}
	m.screen.unicode = false
	if got := m.bar(half(), now, 40); !strings.HasPrefix(got, "[######....]") {
		t.Errorf("without block characters: %q", got)
	}
	stopping := half()
	stopping.Status = "Stopping"
	if got := m.bar(stopping, now, 80); !strings.Contains(got, "stopping") {
		t.Errorf("while it stops: %q", got)
	}
	if got := m.bar(api.JobProgress{Status: "InProgress"}, now.Add(3*time.Second), 80); got != "waiting for an instance to be ready, 3.0 s" {
		t.Errorf("before any instance serves: %q", got)
	}
}

func TestFraction(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		s    transform.Snapshot
		want float64
	}{
		{transform.Snapshot{}, 0},
		{transform.Snapshot{InputBytes: 10, InputBytesRead: 10, BytesIn: 5}, 0.5}, // the rest was read ahead
		{transform.Snapshot{InputBytes: 10, InputBytesRead: 5, BytesIn: 50}, 0.5}, // compressed
		{transform.Snapshot{InputBytes: 10, InputBytesRead: 15, BytesIn: 15}, 1},  // it grew meanwhile
		{transform.Snapshot{Objects: 4, ObjectsDone: 1, ObjectsFailed: 1}, 0.5},
	} {
		if got := fraction(api.JobProgress{Snapshot: c.s}); got != c.want {
			t.Errorf("%+v gave %v", c.s, got)
		}
	}
}

func TestETA(t *testing.T) {
	t.Parallel()
	p := api.JobProgress{Status: "InProgress", Snapshot: transform.Snapshot{InputBytes: 100, InputBytesRead: 100, BytesIn: 40, BytesPerSec: 20, ETASeconds: new(float64)}}
	if left, ok := eta(p); !ok || left != 3*time.Second {
		t.Errorf("of plain input: %v, %v", left, ok)
	}
	if left, ok := eta(half()); !ok || left != 2250*time.Millisecond {
		t.Errorf("of compressed input: %v, %v", left, ok)
	}
	p.Status = "Completed"
	if left, ok := eta(p); ok {
		t.Errorf("after the end: %v", left)
	}
	if left, ok := eta(api.JobProgress{Status: "InProgress"}); ok {
		t.Errorf("before the beginning: %v", left)
	}
}

// TestPlainLines shows a job where no line can be drawn over.
func TestPlainLines(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	now := time.Unix(1000, 0)
	m := newMeter(&screen{w: &out}, now)
	for range 11 {
		m.show(half(), now)
		now = now.Add(time.Second)
	}
	m.done()
	line := "nightly: 62%, 2 of 4 objects, 33,412 records, 1.1 MB in, 98 kB out, 182,000 records/s, about 2.2 s left\n"
	if out.String() != line+line {
		t.Errorf("got\n%s", out.String())
	}
}

// TestDrawn shows that whole lines make room for themselves on a terminal.
func TestDrawn(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := &screen{w: &out, tty: true, width: func() int { return 80 }}
	s.draw("bar")
	s.line("a remark")
	s.draw("bar 2")
	s.erase()
	s.erase()
	s.line("the end")
	want := "\rbar\x1b[K\r\x1b[Ka remark\n\rbar 2\x1b[K\r\x1b[Kthe end\n"
	if out.String() != want {
		t.Errorf("got %q", out.String())
	}
}

func TestStatusColour(t *testing.T) {
	t.Parallel()
	if got := (&screen{}).status("Failed"); got != "Failed" {
		t.Errorf("without colours: %q", got)
	}
	if got := (&screen{color: true}).status("Failed"); got != "\x1b[31mFailed\x1b[0m" {
		t.Errorf("with colours: %q", got)
	}
}

func TestLocale(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		env  map[string]string
		want bool
	}{
		{nil, true},
		{map[string]string{"LANG": "en_GB.UTF-8"}, true},
		{map[string]string{"LANG": "C"}, true},
		{map[string]string{"LANG": "en_GB.UTF-8", "LC_ALL": "de_DE.ISO-8859-1"}, false},
	} {
		if got := unicodeLocale(environment(c.env)); got != c.want {
			t.Errorf("%v gave %v", c.env, got)
		}
	}
}

func TestFormats(t *testing.T) {
	t.Parallel()
	for got, want := range map[string]string{
		count(0): "0", count(999): "999", count(1000): "1,000", count(1234567): "1,234,567", count(-4321): "-4,321",
		size(999): "999 B", size(1000): "1.0 kB", size(98_400): "98 kB", size(999_600): "1.0 MB", size(20 << 30): "21 GB",
		rate(0.25): "0.2", rate(42.4): "42", rate(182_345): "182,000", rate(1234): "1,230",
		span(-1): "0 s", span(400 * time.Millisecond): "0.4 s", span(12 * time.Second): "12 s", span(200 * time.Second): "3m20s",
		span(5*time.Hour + 12*time.Minute): "5h12m", span(59*time.Second + 900*time.Millisecond): "1m00s",
		plural(1, "object"): "1 object", plural(2000, "object"): "2,000 objects",
		clip("a  long\ntext", 20): "a long text", clip("abcdef", 4): "abc…",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	got := table([][]string{{"NAME", "STATUS", ""}, {"x", "Failed", "why"}, {"längst", "Completed", ""}}, func(row, column int, text string) string {
		if row == 1 && column == 1 {
			return "<" + text + ">"
		}
		return text
	})
	want := "NAME    STATUS\nx       <Failed>     why\nlängst  Completed\n"
	if got != want {
		t.Errorf("got\n%s", got)
	}
}
