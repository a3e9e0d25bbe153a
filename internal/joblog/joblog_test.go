package joblog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

func fixed() time.Time { return time.Date(2026, 11, 24, 7, 30, 0, 123e6, time.UTC) }

func dir(t testing.TB, limits Limits) *Dir { return New(t.TempDir(), limits, fixed) }

var job = JobName(resource.Key{Region: "us-east-1", Name: "Nightly"})

func create(t testing.TB, d *Dir, p Place, stream string) *Stream {
	t.Helper()
	s, err := d.Create(p, stream)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// read collects all lines of streams in a range.
func read(t testing.TB, d *Dir, g Group, r Range, streams ...string) (lines []Line) {
	t.Helper()
	for l, err := range d.Lines(g, streams, r) {
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, l)
	}
	return lines
}

func texts(lines []Line) (all []string) {
	for _, l := range lines {
		all = append(all, l.Text)
	}
	return all
}

func TestStream(t *testing.T) {
	t.Parallel()
	d := dir(t, Limits{})
	s := create(t, d, job, "i-1/data-log")
	for _, p := range []string{"on", "e\ntwo\r\n", "\x1b[31mred\xff\n", "no end"} {
		if _, err := s.Write([]byte(p)); err != nil {
			t.Fatal(err)
		}
	}
	s.Line("") // ends the open line
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s.Line("after the end") // is dropped, and does not crash
	lines := read(t, d, job.Group, Range{}, "Nightly/i-1/data-log")
	for i, l := range lines {
		if l.Position != At(fixed())+Position(i) || l.Stream != "Nightly/i-1/data-log" {
			t.Errorf("line %+v", l)
		}
	}
	want := []string{"one", "two", "\uFFFD[31mred\uFFFD", "no end"}
	if got := texts(lines); !slices.Equal(got, want) {
		t.Errorf("lines %q, want %q", got, want)
	}
	// OB-20: group and stream have the names of AWS, and so has the path.
	data, err := os.ReadFile(filepath.Join(d.root, "us-east-1/aws/sagemaker/TransformJobs/Nightly/i-1/data-log.log"))
	if err != nil || !strings.HasPrefix(string(data), "2026-11-24T07:30:00.123000Z one\n2026-11-24T07:30:00.123001Z two\n") {
		t.Errorf("the file is %q, %v", data, err)
	}
	if !d.HasGroup(Group{"us-east-1", "/aws/sagemaker/TransformJobs"}) || !d.HasStream(job.Group, "Nightly/i-1/data-log") {
		t.Error("the stream is not there")
	}
	for _, g := range []Group{{"us-east-1", "/aws/sagemaker"}, {"us-east-1", "/aws/sagemaker/TransformJobs/Nightly"}, {"eu-west-1", "/aws/sagemaker/TransformJobs"}} {
		if d.HasGroup(g) {
			t.Errorf("%v is no group", g)
		}
	}
}

// OB-21: an endpoint has a group of its own.
func TestEndpointName(t *testing.T) {
	t.Parallel()
	d := dir(t, Limits{})
	at := EndpointName(resource.Key{Region: "us-east-1", Name: "Fraud"})
	create(t, d, at, "AllTraffic/i-1").Line("x")
	create(t, d, job, "i-1").Line("y")
	groups, err := d.Groups("us-east-1")
	if err != nil || len(groups) != 2 || groups[0].Name != "/aws/sagemaker/Endpoints/Fraud" || groups[1].Name != "/aws/sagemaker/TransformJobs" {
		t.Fatalf("%+v, %v", groups, err)
	}
	if groups[0].Bytes == 0 || !groups[0].Created.Equal(fixed()) {
		t.Errorf("%+v", groups[0])
	}
	streams, err := d.Streams(at.Group, "")
	if err != nil || len(streams) != 1 || streams[0].Name != "AllTraffic/i-1" {
		t.Errorf("%+v, %v", streams, err)
	}
}

// A stream that a container floods keeps its newest lines and stays small, and is
// one stream to readers.
func TestRotation(t *testing.T) {
	t.Parallel()
	d := dir(t, Limits{Stream: 3 * fileBytes})
	s := create(t, d, job, "i")
	long := strings.Repeat("x", lineBytes-4)
	n := 5 * fileBytes / lineBytes
	for i := range n {
		s.Line(fmt.Sprintf("%04d", i) + long)
	}
	s.Close()
	streams, err := d.Streams(job.Group, job.Prefix)
	if err != nil || len(streams) != 1 || streams[0].Bytes > 3*fileBytes+flushBytes || streams[0].Bytes < 2*fileBytes {
		t.Fatalf("%+v, %v", streams, err)
	}
	lines := read(t, d, job.Group, Range{}, "Nightly/i")
	for i, l := range lines {
		if want := fmt.Sprintf("%04d", n-len(lines)+i); l.Text[:4] != want {
			t.Fatalf("line %d is %s, want %s", i, l.Text[:4], want)
		}
	}
	// From any place on, over the borders of files, forward and backward.
	for _, i := range []int{0, 1, len(lines) / 3, len(lines) / 2, len(lines) - 2} {
		after := read(t, d, job.Group, Range{After: lines[i].Position}, "Nightly/i")
		if !slices.Equal(texts(after), texts(lines[i+1:])) {
			t.Errorf("after line %d: %d lines", i, len(after))
		}
		before, err := d.Tail(job.Group, "Nightly/i", Range{Before: lines[i].Position}, 300, 1<<30)
		if err != nil || !slices.Equal(texts(before), texts(lines[max(0, i-300):i])) {
			t.Errorf("before line %d: %d lines, %v", i, len(before), err)
		}
	}
	first, last, ok, err := d.Bounds(job.Group, "Nightly/i")
	if first != lines[0].Position || last != lines[len(lines)-1].Position || !ok || err != nil {
		t.Errorf("bounds %v %v %v %v", first, last, ok, err)
	}
}

// A line without end is cut between characters, and a flood of one is not quadratic.
func TestLongLine(t *testing.T) {
	t.Parallel()
	d := dir(t, Limits{})
	s := create(t, d, job, "i")
	text := "x" + strings.Repeat("ü", 1<<20)
	s.Write([]byte(text))
	s.Close()
	lines := read(t, d, job.Group, Range{}, "Nightly/i")
	if got := strings.Join(texts(lines), ""); got != text {
		t.Errorf("%d lines with %d bytes, want %d", len(lines), len(got), len(text))
	}
}

// What a crash cut short is no line, and the next begins a new one.
func TestTornFile(t *testing.T) {
	t.Parallel()
	d := dir(t, Limits{})
	create(t, d, job, "i").Line("whole")
	file, err := d.path(job.Group, "Nightly/i")
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString("2026-11-24T07:30:00.123007Z to")
	f.Close()
	if got := texts(read(t, d, job.Group, Range{}, "Nightly/i")); !slices.Equal(got, []string{"whole"}) {
		t.Errorf("%q", got)
	}
	// Another server, whose clock is behind: its lines are after all the same.
	again := New(d.root, Limits{}, func() time.Time { return fixed().Add(-time.Hour) })
	create(t, again, job, "i").Line("next")
	lines := read(t, again, job.Group, Range{}, "Nightly/i")
	if !slices.Equal(texts(lines), []string{"whole", "to", "next"}) {
		t.Errorf("%q", texts(lines))
	}
	if !slices.IsSortedFunc(lines, func(a, b Line) int { return int(a.Position - b.Position) }) {
		t.Errorf("%v", lines)
	}
}

// Streams are merged by time, and no two lines have the same.
func TestMerge(t *testing.T) {
	t.Parallel()
	d := dir(t, Limits{})
	names := []string{}
	for i := range 5 {
		names = append(names, fmt.Sprintf("Nightly/i-%d", i))
	}
	var want []string
	for i := range 1000 {
		if i == 0 {
			for k := range names {
				create(t, d, job, fmt.Sprintf("i-%d", k))
			}
		}
		text := fmt.Sprint(i)
		s, err := d.Create(job, fmt.Sprintf("i-%d", (i/7)%5))
		if err != nil {
			t.Fatal(err)
		}
		s.Line(text)
		s.Close()
		want = append(want, text)
	}
	lines := read(t, d, job.Group, Range{}, names...)
	if !slices.Equal(texts(lines), want) {
		t.Fatalf("%d lines, not in order", len(lines))
	}
	some := read(t, d, job.Group, Range{After: lines[299].Position, Before: lines[700].Position}, names...)
	if !slices.Equal(texts(some), want[300:700]) {
		t.Errorf("%d lines of a range", len(some))
	}
}

func TestNamesStayInside(t *testing.T) {
	t.Parallel()
	d := dir(t, Limits{})
	g := TransformJobs("us-east-1")
	for _, p := range []struct {
		place  Place
		stream string
	}{
		{Place{Group: g, Prefix: "../"}, "x"}, {Place{Group: g}, "../../x"}, {Place{Group: g}, "/etc/x"}, {Place{Group: g}, ""},
		{Place{Group: g}, "a//b"}, {Place{Group: g}, "a/./b"}, {Place{Group: g}, "a\x00b"}, {Place{Group: g}, strings.Repeat("x", 201)},
		{Place{Group: Group{"..", "/x"}}, "x"}, {Place{Group: Group{"us-east-1", "/../x"}}, "x"}, {Place{Group: Group{"us-east-1", "x"}}, "x"},
		{Place{Group: Group{"", "/x"}}, "x"}, {Place{Group: Group{"a/b", "/x"}}, "x"},
	} {
		if s, err := d.Create(p.place, p.stream); !errors.Is(err, fs.ErrNotExist) {
			s.Close()
			t.Errorf("%q %q: %v", p.place, p.stream, err)
		}
		if d.HasStream(p.place.Group, p.place.Prefix+p.stream) {
			t.Errorf("%q %q is there", p.place, p.stream)
		}
		if lines := read(t, d, p.place.Group, Range{}, p.place.Prefix+p.stream); lines != nil {
			t.Errorf("%v", lines)
		}
	}
	for _, prefix := range []string{"nothing", "../", "a/../../", "/"} {
		if names, err := d.Streams(g, prefix); err != nil || len(names) != 0 {
			t.Errorf("streams %v: %v, %v", prefix, names, err)
		}
	}
}

// age sets the time at which the files of a stream were written last.
func age(t *testing.T, d *Dir, g Group, stream string, at time.Time) {
	t.Helper()
	file, err := d.path(g, stream)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range segments(file) {
		if err := os.Chtimes(f, at, at); err != nil {
			t.Fatal(err)
		}
	}
}

func names(t *testing.T, d *Dir, g Group) (all []string) {
	t.Helper()
	streams, err := d.Streams(g, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range streams {
		all = append(all, s.Name)
	}
	return all
}

// Old streams go; those of a group with a policy of its own go by that; what is
// being written stays, and so does a group whose policy somebody set.
func TestSweepByAge(t *testing.T) {
	t.Parallel()
	d := dir(t, Limits{Age: 10 * 24 * time.Hour})
	end := EndpointName(resource.Key{Region: "us-east-1", Name: "e"})
	gone := EndpointName(resource.Key{Region: "eu-west-1", Name: "gone"})
	for _, s := range []struct {
		at   Place
		name string
	}{{job, "old"}, {job, "new"}, {end, "v/old"}, {end, "v/mid"}, {gone, "v/old"}} {
		w := create(t, d, s.at, s.name)
		w.Line("x")
		w.Close()
	}
	create(t, d, job, "written").Line("x")
	if err := d.SetRetention(end.Group, 30); err != nil {
		t.Fatal(err)
	}
	now := fixed().Add(100 * 24 * time.Hour)
	d.now = func() time.Time { return now }
	days := func(n int) time.Time { return now.Add(-time.Duration(n) * 24 * time.Hour) }
	age(t, d, job.Group, "Nightly/old", days(11))
	age(t, d, job.Group, "Nightly/written", days(11))
	age(t, d, job.Group, "Nightly/new", days(9))
	age(t, d, end.Group, "v/old", days(31))
	age(t, d, end.Group, "v/mid", days(29))
	age(t, d, gone.Group, "v/old", days(11))
	for range 2 {
		if err := d.Sweep(); err != nil {
			t.Fatal(err)
		}
		if got := names(t, d, job.Group); !slices.Equal(got, []string{"Nightly/new", "Nightly/written"}) {
			t.Errorf("%q", got)
		}
		if got := names(t, d, end.Group); !slices.Equal(got, []string{"v/mid"}) {
			t.Errorf("%q", got)
		}
		if d.HasGroup(gone.Group) {
			t.Error("a group without streams is left")
		}
	}
	if _, err := os.Stat(filepath.Join(d.root, "eu-west-1")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("empty folders are left: %v", err)
	}
	age(t, d, end.Group, "v/mid", days(31))
	if err := d.Sweep(); err != nil || !d.HasGroup(end.Group) {
		t.Errorf("a group with a policy is gone, %v", err)
	}
	groups, err := d.Groups("us-east-1")
	if err != nil || groups[0].RetentionDays != 30 {
		t.Errorf("%+v, %v", groups, err)
	}
	if err := d.SetRetention(gone.Group, 30); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a policy of no group: %v", err)
	}
}

// The oldest files go until the rest fits.
func TestSweepByTotal(t *testing.T) {
	t.Parallel()
	d := dir(t, Limits{Total: 2500})
	for i, name := range []string{"c", "a", "b", "d"} { // in the order of their age
		w := create(t, d, job, name)
		w.Line(strings.Repeat("x", 1000-len(stampLayout)-2))
		if name != "c" { // the oldest is being written
			w.Close()
		}
		age(t, d, job.Group, "Nightly/"+name, fixed().Add(time.Duration(i)*time.Minute))
	}
	if err := d.Sweep(); err != nil {
		t.Fatal(err)
	}
	if got := names(t, d, job.Group); !slices.Equal(got, []string{"Nightly/c", "Nightly/d"}) {
		t.Errorf("%q are left", got)
	}
}

// Whoever waits is woken by the next line, and by no earlier one.
func TestChanged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := New(t.TempDir(), Limits{}, time.Now)
		s, err := d.Create(job, "i")
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		s.Line("before")
		var woken []string
		wait := func(who string) {
			c := d.Changed()
			go func() {
				<-c
				woken = append(woken, who)
			}()
		}
		wait("one")
		synctest.Wait()
		if woken != nil {
			t.Fatalf("%q", woken)
		}
		s.Line("after")
		synctest.Wait()
		s.Line("nobody waits")
		wait("two")
		synctest.Wait()
		if !slices.Equal(woken, []string{"one"}) {
			t.Fatalf("%q", woken)
		}
		s.Line("again")
		synctest.Wait()
		if !slices.Equal(woken, []string{"one", "two"}) {
			t.Fatalf("%q", woken)
		}
	})
}

// A reader never sees half a line, loses one or sees one twice, whatever rotates.
func TestReadWhileWriting(t *testing.T) {
	t.Parallel()
	d := New(t.TempDir(), Limits{Stream: 100 * fileBytes}, time.Now)
	s := create(t, d, job, "i")
	const n = 3000
	done := make(chan struct{})
	go func() {
		defer close(done)
		pad := strings.Repeat("x", 10_000)
		for i := range n {
			s.Line(fmt.Sprint(i, " ", pad))
		}
	}()
	next, after := 0, Position(0)
	for over := false; next < n; {
		for l, err := range d.Lines(job.Group, []string{"Nightly/i"}, Range{After: after}) {
			if err != nil {
				t.Fatal(err)
			}
			if want := fmt.Sprint(next, " "); !strings.HasPrefix(l.Text, want) || len(l.Text) != len(want)+10_000 {
				t.Fatalf("line %d is %.20q with %d bytes", next, l.Text, len(l.Text))
			}
			next, after = next+1, l.Position
		}
		if over {
			break
		}
		select {
		case <-done:
			over = true
		default:
		}
	}
	if next != n {
		t.Errorf("%d lines were read, %d written", next, n)
	}
}

// Whatever a file holds, reading it neither fails nor panics, and lines come in
// the form in which they were written.
func FuzzLine(f *testing.F) {
	f.Add([]byte("2026-11-24T07:30:00.123456Z listening on :8080\n"))
	f.Add([]byte("2026-11-24T07:30:00.123456Z \n\n2026"))
	f.Add([]byte("2026-11-24T07:30:00.12345Z x\r\n\x1b[31m"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if at, text, ok := parseLine(data); ok {
			if again := at.Time().Format(stampLayout) + " " + string(text) + "\n"; again != string(data) {
				t.Fatalf("%q is read as %q", data, again)
			}
		}
		line := appendLine(nil, At(fixed()), data, nil)
		at, text, ok := parseLine(line)
		if !ok || at != At(fixed()) || len(line) > longestLine && len(data) <= lineBytes {
			t.Fatalf("%q is written as %q and not read", data, line)
		}
		for _, r := range string(text) {
			if isControl(r) && r != '\n' {
				t.Fatalf("%q shows %q", data, r)
			}
		}
		name := filepath.Join(t.TempDir(), "x.log")
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		forward, err := (&Dir{}).linesAfter(name, 0, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		backward, err := linesBefore(name, 1<<62, 1<<30, 1<<30, nil)
		if err != nil {
			t.Fatal(err)
		}
		rising := !slices.ContainsFunc(backward, func(l Line) bool { return l.Position <= 0 })
		for i := 1; i < len(backward); i++ {
			rising = rising && backward[i-1].Position < backward[i].Position
		}
		if rising && !slices.Equal(forward, backward) {
			t.Fatalf("%v forward, %v backward", forward, backward)
		}
	})
}

func BenchmarkWrite(b *testing.B) {
	d := New(b.TempDir(), Limits{}, time.Now)
	s := create(b, d, job, "i")
	chunk := []byte(strings.Repeat("2026-11-24 INFO serving a request of 4 ms\n", 100))
	b.SetBytes(int64(len(chunk)))
	for b.Loop() {
		s.Write(chunk)
	}
}

func BenchmarkRead(b *testing.B) {
	d := New(b.TempDir(), Limits{Stream: 64 << 20}, time.Now)
	s := create(b, d, job, "i")
	for range 500_000 {
		s.Line("2026-11-24 INFO serving a request of 4 ms")
	}
	streams, err := d.Streams(job.Group, "")
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(streams[0].Bytes)
	for b.Loop() {
		n := 0
		for _, err := range d.Lines(job.Group, []string{"Nightly/i"}, Range{}) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != 500_000 {
			b.Fatal(n)
		}
	}
}

// BenchmarkPage is one page from the middle of a long stream, as GetLogEvents asks.
func BenchmarkPage(b *testing.B) {
	d := New(b.TempDir(), Limits{Stream: 64 << 20}, time.Now)
	s := create(b, d, job, "i")
	for range 500_000 {
		s.Line("2026-11-24 INFO serving a request of 4 ms")
	}
	first, last, _, err := d.Bounds(job.Group, "Nightly/i")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		for _, err := range d.Lines(job.Group, []string{"Nightly/i"}, Range{After: (first + last) / 2}) {
			if err != nil {
				b.Fatal(err)
			}
			break
		}
	}
}
