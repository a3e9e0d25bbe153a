package joblog

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func fixed() time.Time { return time.Date(2026, 11, 24, 7, 30, 0, 123e6, time.UTC) }

func TestStream(t *testing.T) {
	t.Parallel()
	d := New(t.TempDir(), fixed)
	s, err := d.Create("us-east-1/job", "i-1/data-log")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"on", "e\ntwo\r\n", "\x1b[31mred\xff\n", "no end"} {
		if _, err := s.Write([]byte(p)); err != nil {
			t.Fatal(err)
		}
	}
	s.Line("") // ends the open line
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s.Line("after the end") // is dropped, and does not crash
	lines, err := d.Read("us-east-1/job", "i-1/data-log")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range lines {
		if !l.At.Equal(fixed()) || l.Stream != "i-1/data-log" {
			t.Errorf("line %+v", l)
		}
		got = append(got, l.Text)
	}
	want := []string{"one", "two", "\uFFFD[31mred\uFFFD", "no end"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("lines %q, want %q", got, want)
	}
	names, err := d.Streams("us-east-1/job")
	if err != nil || fmt.Sprint(names) != "[i-1/data-log]" {
		t.Errorf("streams %q, %v", names, err)
	}
}

// A stream that a container floods keeps its newest lines and stays small.
func TestRotation(t *testing.T) {
	t.Parallel()
	d := New(t.TempDir(), fixed)
	s, err := d.Create("job", "i")
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", lineBytes)
	for i := range 3 * fileBytes / lineBytes {
		s.Line(fmt.Sprint(i) + long)
	}
	s.Line("newest")
	s.Close()
	lines, err := d.Read("job", "i")
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, l := range lines {
		total += len(l.Text)
	}
	if total > 2*fileBytes+lineBytes || lines[len(lines)-1].Text != "newest" {
		t.Errorf("%d bytes kept, the last line is %q", total, lines[len(lines)-1].Text)
	}
}

func TestNamesStayInside(t *testing.T) {
	t.Parallel()
	d := New(t.TempDir(), fixed)
	for _, name := range [][2]string{{"..", "x"}, {"job", "../../x"}, {"/etc", "x"}, {"", "x"}, {"job", ""}} {
		if s, err := d.Create(name[0], name[1]); err == nil {
			s.Close()
			t.Errorf("%q was created", name)
		}
	}
	if names, err := d.Streams("nothing"); err != nil || names != nil {
		t.Errorf("streams of no job: %q, %v", names, err)
	}
}
