package transform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/dirstore"
	"github.com/sagebrush-ml/sagebrush/internal/record"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// sender is an Invoker that sends as a connection does: in parts of which it
// tells, and again from the start in each further attempt.
type sender struct {
	// answer may fail. It must not look at a body that may have been cut short.
	answer func(body []byte) (string, error)
	cuts   []int // each but the last attempt ends after so many bytes
}

const senderPart = 100_000

func (s sender) Invoke(ctx context.Context, p Payload, dst []byte) (Answer, error) {
	if ctx.Err() != nil {
		return Answer{}, context.Cause(ctx)
	}
	if p.Sent != nil {
		for _, cut := range append(s.cuts, len(p.Body)) {
			for from := 0; from < min(cut, len(p.Body)); from += senderPart {
				p.Sent(p.Body[from:min(from+senderPart, len(p.Body))])
			}
		}
	}
	text, err := s.answer(p.Body)
	return Answer{Body: append(dst, text...), ContentType: "text/csv", Retries: len(s.cuts)}, err
}

func (s sender) InvokeStream(context.Context, io.Reader, func(string) (io.Writer, error)) error {
	return errors.ErrUnsupported
}

// unseen hides that a store keeps files.
type unseen struct{ objstore.Store }

// viewed moves one object "in/k" of a folder, with n connections, and gives its
// outcome, and its output or "".
func viewed(t *testing.T, dir string, n int, hide bool, s sender) (Outcome, string) {
	t.Helper()
	files, err := dirstore.New(map[string]string{"in": dir, "out": t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	var st objstore.Store = files
	if hide {
		st = unseen{files}
	}
	info, err := st.Stat(t.Context(), objstore.Ref{Bucket: "in", Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	invokers := make([]Invoker, n)
	for i := range invokers {
		invokers[i] = s
	}
	var end Outcome
	r := NewRunner(Options{
		Settings: settings(n, func(s *Settings) { s.Strategy, s.Assembly = resource.MultiRecord, record.JoinLines }),
		Store:    st, Output: objstore.Ref{Bucket: "out"}, Invokers: invokers, Progress: &Progress{},
		Report: func(o Outcome) { end = o },
	})
	if err := r.Run(t.Context(), &list{objects: []Object{{Seq: 1, Info: info, Rel: "k"}}}); err != nil {
		t.Fatal(err)
	}
	got, err := st.Open(t.Context(), objstore.Ref{Bucket: "out", Key: "k.out"}, objstore.All)
	if err != nil {
		return end, ""
	}
	defer got.Close()
	text, err := io.ReadAll(got)
	if err != nil {
		t.Fatal(err)
	}
	return end, string(text)
}

// rows are numbered lines, size bytes in all but for the last line's rest, and
// the last has no LF.
func rows(size int) string {
	var b strings.Builder
	for i := 1; b.Len() < size; i++ {
		fmt.Fprintf(&b, "%d,%s\n", i, strings.Repeat("x", i%900))
	}
	return b.String() + "end"
}

// folder has one object, k.
func folder(t *testing.T, body string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "k"), []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// What is looked at and what is read give the same requests, counts and output,
// also when attempts break off in the middle.
func TestViewedLikeRead(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"small": 1000, "one window": 1 << 20, "a small rest": 3<<20 + 100, "many": 7<<20 + 500_000} {
		for _, cuts := range [][]int{nil, {1}, {0, senderPart, 7 * senderPart, 1 << 20}} {
			t.Run(fmt.Sprint(name, cuts), func(t *testing.T) {
				t.Parallel()
				in := rows(size)
				dir := folder(t, in)
				s := sender{cuts: cuts, answer: func(body []byte) (string, error) { return string(body), nil }}
				seen, out := viewed(t, dir, 4, false, s)
				if want := in + "\n"; seen.Err != nil || out != want {
					t.Fatalf("%d bytes, want %d; %v", len(out), len(want), seen.Err)
				}
				read, _ := viewed(t, dir, 4, true, s)
				if seen.Counts != read.Counts {
					t.Errorf("counts %+v, want %+v", seen.Counts, read.Counts)
				}
			})
		}
	}
}

// A failure names the same records, whichever way the object went, and whichever
// request comes to its end first.
func TestViewedFailure(t *testing.T) {
	t.Parallel()
	dir := folder(t, rows(10<<20))
	refuse := sender{answer: func(body []byte) (string, error) {
		if first, _, _ := strings.Cut(string(body[:20]), ","); len(first) == 4 { // neither the first nor the last
			return "", &RequestError{Status: 400, Attempts: 1}
		}
		return "ok", nil
	}}
	seen, out := viewed(t, dir, 3, false, refuse)
	read, _ := viewed(t, dir, 3, true, refuse)
	if seen.Err == nil || out != "" || seen.Err.Error() != read.Err.Error() || AsFailure(seen.Err).Detail() != AsFailure(read.Err).Detail() {
		t.Errorf("%v, want %v", AsFailure(seen.Err).Detail(), AsFailure(read.Err).Detail())
	}
}

// A line over the limit is named by its number although nobody read what is before.
func TestViewedTooLarge(t *testing.T) {
	t.Parallel()
	dir := folder(t, rows(3<<20)+"\n"+strings.Repeat("y", 1<<20)+"\n1\n")
	s := sender{answer: func([]byte) (string, error) { return "ok", nil }}
	seen, _ := viewed(t, dir, 2, false, s)
	read, _ := viewed(t, dir, 2, true, s)
	var a, b *record.TooLargeError
	if !errors.As(seen.Err, &a) || !errors.As(read.Err, &b) || *a != *b || a.Record == 0 {
		t.Errorf("%v, want %v", seen.Err, read.Err)
	}
}

// A file that is cut short or written to under the job fails the object.
func TestViewedFileChanges(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(path string) error{
		"cut short": func(path string) error { return os.Truncate(path, 5<<20) },
		"emptied":   func(path string) error { return os.Truncate(path, 0) },
		"written to": func(path string) error {
			f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteString("more")
			return errors.Join(err, f.Close())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := folder(t, rows(9<<20))
			var once sync.Once
			answer := func([]byte) (string, error) {
				once.Do(func() {
					if err := change(filepath.Join(dir, "k")); err != nil {
						t.Error(err)
					}
				})
				return "ok", nil
			}
			end, out := viewed(t, dir, 2, false, sender{answer: answer})
			var f *Failure
			if !errors.As(end.Err, &f) || f.Class != ClientError || !strings.Contains(f.Text, "changed while it was read") || out != "" {
				t.Errorf("outcome %v, output of %d bytes", end.Err, len(out))
			}
		})
	}
}

// When the run is interrupted, nothing undecided is reported.
func TestViewedInterrupted(t *testing.T) {
	t.Parallel()
	files, err := dirstore.New(map[string]string{"in": folder(t, rows(3<<20)), "out": t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	info, err := files.Stat(t.Context(), objstore.Ref{Bucket: "in", Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	why := errors.New("stop asked")
	ctx, cancel := context.WithCancelCause(t.Context())
	hang := make(chan struct{})
	r := NewRunner(Options{
		Settings: settings(1, func(s *Settings) { s.Strategy = resource.MultiRecord }), Store: files,
		Output: objstore.Ref{Bucket: "out"}, Invokers: []Invoker{hanging{hang}}, Progress: &Progress{},
		Report: func(o Outcome) { t.Errorf("reported %+v", o) },
	})
	ended := make(chan error)
	go func() { ended <- r.Run(ctx, &list{objects: []Object{{Seq: 1, Info: info, Rel: "k"}}}) }()
	<-hang
	cancel(why)
	if err := <-ended; !errors.Is(err, why) {
		t.Errorf("Run = %v", err)
	}
}
