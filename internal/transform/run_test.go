package transform

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/memstore"
	"github.com/sagebrush-ml/sagebrush/internal/record"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// container is an Invoker over a function, for all connections.
type container func(payload []byte) (answer string, err error)

func (c container) Invoke(ctx context.Context, p Payload, dst []byte) (Answer, error) {
	if ctx.Err() != nil {
		return Answer{Body: dst}, context.Cause(ctx)
	}
	s, err := c(p.Body)
	return Answer{Body: append(dst, s...), ContentType: "text/csv"}, err
}

func (c container) InvokeStream(_ context.Context, body io.Reader, begin func(string) (io.Writer, error)) error {
	payload, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	s, err := c(payload)
	if err != nil {
		return err
	}
	w, err := begin("text/csv")
	if err == nil {
		_, err = io.WriteString(w, s)
	}
	return err
}

func echo(payload []byte) (string, error) { return string(payload), nil }

// transformAll runs all objects of a memstore's bucket "in" into "out/res".
func transformAll(t *testing.T, st *memstore.Store, s Settings, c container) ([]Outcome, error) {
	t.Helper()
	feed := &list{}
	err := List(t.Context(), st, resource.TransformInput{S3DataType: "S3Prefix", S3URI: "s3://in/"}, func(o Object) error {
		feed.objects = append(feed.objects, o)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	invokers := make([]Invoker, s.Concurrent)
	for i := range invokers {
		invokers[i] = c
	}
	var mu sync.Mutex
	var outcomes []Outcome
	r := NewRunner(Options{
		Settings: s, Store: st, Output: objstore.Ref{Bucket: "out", Key: "res/"},
		Invokers: invokers, Scratch: t.TempDir(), Progress: &Progress{},
		Report: func(o Outcome) {
			mu.Lock()
			defer mu.Unlock()
			outcomes = append(outcomes, o)
		},
	})
	err = r.Run(t.Context(), feed)
	return outcomes, err
}

func newStore(objects map[string]string) *memstore.Store {
	st := memstore.New("in", "out")
	for key, body := range objects {
		st.Put(objstore.Ref{Bucket: "in", Key: key}, body)
	}
	return st
}

// outputs gives everything under the output path.
func outputs(t *testing.T, st *memstore.Store) map[string]string {
	t.Helper()
	got := map[string]string{}
	for info, err := range st.List(t.Context(), "out", "") {
		if err != nil {
			t.Fatal(err)
		}
		body, _ := st.Body(info.Ref)
		got[info.Key] = body
	}
	return got
}

func settings(n int, edit func(*Settings)) Settings {
	s := Settings{Concurrent: n, PayloadMB: 1, Strategy: resource.SingleRecord, Split: resource.SplitLine}
	if edit != nil {
		edit(&s)
	}
	return s
}

// BT-52, BT-54, T-3: answers are in input order whatever each one takes, and no
// more requests are in flight than there are connections.
func TestOrderAndConcurrency(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var in strings.Builder
		for i := range 3000 {
			fmt.Fprintln(&in, i)
		}
		st := newStore(map[string]string{"a.csv": in.String(), "b.csv": in.String()})
		var flying, most atomic.Int64
		slow := container(func(p []byte) (string, error) {
			most.Store(max(most.Load(), flying.Add(1)))
			defer flying.Add(-1)
			time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
			return string(p), nil
		})
		outcomes, err := transformAll(t, st, settings(8, nil), slow)
		if err != nil || len(outcomes) != 2 {
			t.Fatalf("%d outcomes, %v", len(outcomes), err)
		}
		if got := outputs(t, st); got["res/a.csv.out"] != in.String() || got["res/b.csv.out"] != in.String() {
			t.Error("the outputs are not the inputs in order")
		}
		if most.Load() != 8 {
			t.Errorf("at most %d requests were in flight, want 8", most.Load())
		}
		if c := outcomes[0].Counts; c.Records != 3000 || c.Requests != 3000 || c.BytesIn != int64(in.Len()) {
			t.Errorf("counts %+v", c)
		}
	})
}

// Every object becomes one output, empty ones without a request (BT-42, BT-100).
func TestManyObjects(t *testing.T) {
	t.Parallel()
	objects := map[string]string{"empty": "", "d/": ""}
	for i := range 200 {
		objects[fmt.Sprintf("d/%03d", i)] = fmt.Sprintf("object %d", i)
	}
	st := newStore(objects)
	var calls atomic.Int64
	_, err := transformAll(t, st, settings(3, func(s *Settings) { s.Split = resource.SplitNone }), func(p []byte) (string, error) {
		calls.Add(1)
		return echo(p)
	})
	got := outputs(t, st)
	if err != nil || len(got) != 201 || calls.Load() != 200 {
		t.Fatalf("%d outputs, %d calls, %v", len(got), calls.Load(), err)
	}
	if got["res/d/007.out"] != "object 7" || got["res/empty.out"] != "" {
		t.Errorf("outputs %v", got)
	}
}

// BT-35, BT-90, BT-106, T-9: a failing object leaves nothing, the others are done.
func TestOneBadObject(t *testing.T) {
	t.Parallel()
	st := newStore(map[string]string{"a": "1\n2\n", "b": "1\nbad\n3\n", "c": "5\n"})
	outcomes, err := transformAll(t, st, settings(2, nil), func(p []byte) (string, error) {
		if string(p) == "bad\n" {
			return "", &RequestError{Status: 413, Body: []byte("too\nlarge"), Attempts: 1}
		}
		return echo(p)
	})
	if err != nil || len(outcomes) != 3 {
		t.Fatalf("%d outcomes, %v", len(outcomes), err)
	}
	got := outputs(t, st)
	if len(got) != 2 || got["res/a.out"] != "1\n2\n" || got["res/c.out"] != "5\n" || st.Writing() != 0 {
		t.Errorf("outputs %v, %d unfinished", got, st.Writing())
	}
	for _, o := range outcomes {
		if o.Key != "b" {
			continue
		}
		var f *Failure
		if !errors.As(o.Err, &f) || f.Class != ClientError {
			t.Fatalf("outcome %v", o.Err)
		}
		const detail = `s3://in/b: record 2 (from byte 2): the container answered 413 after 1 attempt: "too\nlarge"`
		if f.Detail() != detail {
			t.Errorf("detail %s", f.Detail())
		}
		// BT-82, T-6, to the letter, and then our own line.
		want := []string{"in/b: ClientError: 413", "in/b: ", "in/b: Message:", "in/b: too", "in/b: large", strings.Replace(detail, "s3://in/b", "in/b", 1)}
		if fmt.Sprintf("%q", f.LogLines()) != fmt.Sprintf("%q", want) {
			t.Errorf("log lines %q", f.LogLines())
		}
	}
}

// The classes of BT-91 and the lines of BT-83 and BT-84.
func TestFailureClasses(t *testing.T) {
	t.Parallel()
	boom := errors.New("connection refused")
	cases := []struct {
		name  string
		in    string
		edit  func(*Settings)
		err   error
		class Class
		line  string // a line of the data-log
	}{
		{"5xx", "x\n", nil, &RequestError{Status: 500, Attempts: 4}, AlgorithmError, "in/k: Bad HTTP status received from algorithm: 500"},
		{"no answer", "x\n", nil, &RequestError{Attempts: 4, Err: boom}, AlgorithmError, "in/k: Unable to get response from algorithm"},
		{"not gzip", "this is not a gzip file", func(s *Settings) { s.Gzip = true }, nil, ClientError, "in/k: the object is not valid gzip: it has no gzip header there"},
		{"cut gzip", zipped("hello\n")[:12], func(s *Settings) { s.Gzip = true }, nil, ClientError, "in/k: the object is not valid gzip: it ends too early"},
		{"bytes behind gzip", zipped("hello\n") + "garbage and more of it", func(s *Settings) { s.Gzip = true }, nil, ClientError, "in/k: the object is not valid gzip: it has no gzip header there"},
		{"broken TFRecord", "xxxxxxxxxxxxxxxxx", func(s *Settings) { s.Split = resource.SplitTFRecord }, nil, ClientError, "in/k: record 1, which begins at byte 0, is not valid TFRecord: the checksum of its length is 0x78787878"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			st := newStore(map[string]string{"k": c.in})
			outcomes, err := transformAll(t, st, settings(2, c.edit), func(p []byte) (string, error) { return string(p), c.err })
			var f *Failure
			if err != nil || len(outcomes) != 1 || !errors.As(outcomes[0].Err, &f) {
				t.Fatalf("outcomes %v, %v", outcomes, err)
			}
			if f.Class != c.class || !strings.Contains(strings.Join(f.LogLines(), "\n"), c.line) {
				t.Errorf("class %s, lines %q", f.Class, f.LogLines())
			}
			if got := outputs(t, st); len(got) != 0 || st.Writing() != 0 {
				t.Errorf("outputs %v, %d unfinished", got, st.Writing())
			}
		})
	}
}

func zipped(members ...string) string {
	var b bytes.Buffer
	for _, m := range members {
		w := gzip.NewWriter(&b)
		io.WriteString(w, m)
		w.Close()
	}
	return b.String()
}

// BT-111: several members are one object; the output is not compressed (BT-110).
func TestGzip(t *testing.T) {
	t.Parallel()
	st := newStore(map[string]string{"x.csv.gz": zipped("1\n2", "\n3\n"), "empty.gz": ""})
	if _, err := transformAll(t, st, settings(2, func(s *Settings) { s.Gzip = true }), echo); err != nil {
		t.Fatal(err)
	}
	got := outputs(t, st)
	if empty, ok := got["res/empty.gz.out"]; len(got) != 2 || got["res/x.csv.gz.out"] != "1\n2\n3\n" || !ok || empty != "" {
		t.Errorf("outputs %q", got)
	}
}

// SD-5: the seed's series of parts, one for each mini-batch, and nothing of an
// older, longer series stays.
func TestParts(t *testing.T) {
	t.Parallel()
	st := newStore(map[string]string{"d/x.csv": "1\n2\n3\n", "d/none": ""})
	st.Put(objstore.Ref{Bucket: "out", Key: "res/d/x.csv.part0004"}, "stale")
	st.Put(objstore.Ref{Bucket: "out", Key: "res/d/x.csv.party"}, "a stranger's")
	_, err := transformAll(t, st, settings(2, func(s *Settings) { s.Layout = resource.LayoutParts }), echo)
	want := map[string]string{
		"res/d/x.csv.part0001": "1\n", "res/d/x.csv.part0002": "2\n", "res/d/x.csv.part0003": "3\n",
		"res/d/none.part0001": "", "res/d/x.csv.party": "a stranger's",
	}
	if got := outputs(t, st); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("outputs %q, %v", got, err)
	}
}

// BT-78: with MaxPayloadInMB 0 a whole object is one chunked request.
func TestStream(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		edit func(*Settings)
		in   string
		want string
	}{
		"none":       {func(s *Settings) { s.Split = resource.SplitNone }, "a\nb", "a\nb"},
		"lines":      {func(s *Settings) { s.Strategy, s.Assembly = resource.MultiRecord, record.JoinLines }, "a\nb", "a\nb\n"},
		"tfrecord":   {func(s *Settings) { s.Strategy, s.Split = resource.MultiRecord, resource.SplitTFRecord }, string(record.AppendTFRecord(nil, []byte("a"))), string(record.AppendTFRecord(nil, []byte("a")))},
		"in parts":   {func(s *Settings) { s.Split, s.Layout = resource.SplitNone, resource.LayoutParts }, "ab", "ab"},
		"one by one": {func(s *Settings) {}, "a\nb", "a\nb"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := newStore(map[string]string{"k": c.in})
			outcomes, err := transformAll(t, st, settings(2, func(s *Settings) { s.PayloadMB = 0; c.edit(s) }), echo)
			if err != nil || outcomes[0].Err != nil {
				t.Fatal(err, outcomes[0].Err)
			}
			for _, got := range outputs(t, st) {
				if got != c.want {
					t.Errorf("output %q, want %q", got, c.want)
				}
			}
			if outcomes[0].BytesIn != int64(len(c.in)) || outcomes[0].Records == 0 {
				t.Errorf("counts %+v", outcomes[0].Counts)
			}
		})
	}
}

// A store that fails in mid-read and stays broken, and one that cannot write,
// fail the object and leave nothing.
func TestStoreFaults(t *testing.T) {
	t.Parallel()
	down := fault.New(fault.Unavailable, "the store is down")
	for _, verb := range []string{"read", "create", "write", "commit"} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				st := newStore(map[string]string{"k": "1\n2\n"})
				st.Fault = memstore.FailTimes(1000, down, func(op memstore.Op) bool { return op.Name == verb })
				outcomes, err := transformAll(t, st, settings(2, nil), echo)
				var f *Failure
				if err != nil || len(outcomes) != 1 || !errors.As(outcomes[0].Err, &f) || f.Class != InternalError {
					t.Fatalf("outcomes %v, %v", outcomes, err)
				}
				if !strings.Contains(f.Detail(), "the store is down") && !strings.Contains(f.Detail(), "s3://in/k") {
					t.Errorf("detail %s", f.Detail())
				}
				if got := outputs(t, st); len(got) != 0 || st.Writing() != 0 {
					t.Errorf("outputs %v, %d unfinished", got, st.Writing())
				}
			})
		})
	}
}

// When the run is interrupted, nothing undecided is reported and nothing leaks.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := newStore(map[string]string{"a": strings.Repeat("1\n", 1000), "b": strings.Repeat("1\n", 1000)})
		why := errors.New("stop asked")
		ctx, cancel := context.WithCancelCause(t.Context())
		hang := make(chan struct{})
		feed := &list{objects: []Object{{Seq: 1, Info: mustStat(t, st, "a"), Rel: "a"}, {Seq: 2, Info: mustStat(t, st, "b"), Rel: "b"}}}
		r := NewRunner(Options{
			Settings: settings(1, nil), Store: st, Output: objstore.Ref{Bucket: "out"},
			Invokers: []Invoker{hanging{hang}}, Progress: &Progress{},
			Report: func(o Outcome) { t.Errorf("reported %+v", o) },
		})
		ended := make(chan error)
		go func() { ended <- r.Run(ctx, feed) }()
		<-hang
		cancel(why)
		if err := <-ended; !errors.Is(err, why) {
			t.Errorf("Run = %v", err)
		}
		if got := outputs(t, st); len(got) != 0 || st.Writing() != 0 {
			t.Errorf("outputs %v, %d unfinished", got, st.Writing())
		}
	})
}

// hanging says that it was called and then waits for the end of its context.
type hanging struct{ called chan struct{} }

func (h hanging) Invoke(ctx context.Context, _ Payload, dst []byte) (Answer, error) {
	close(h.called)
	<-ctx.Done()
	return Answer{Body: dst}, context.Cause(ctx)
}

func (h hanging) InvokeStream(context.Context, io.Reader, func(string) (io.Writer, error)) error {
	return errors.ErrUnsupported
}

func mustStat(t *testing.T, st *memstore.Store, key string) objstore.Info {
	t.Helper()
	info, err := st.Stat(t.Context(), objstore.Ref{Bucket: "in", Key: key})
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// A dead instance gives the rest of the objects back: they stay in the feed.
func TestInstanceGone(t *testing.T) {
	t.Parallel()
	st := newStore(map[string]string{"a": "1\n"})
	dead := make(chan struct{})
	close(dead)
	feed := &list{objects: []Object{{Seq: 1, Info: mustStat(t, st, "a"), Rel: "a"}}}
	r := NewRunner(Options{Settings: settings(1, nil), Store: st, Invokers: []Invoker{container(echo)}, Dead: dead, Progress: &Progress{}})
	if err := r.Run(t.Context(), feed); !errors.Is(err, ErrInstanceGone) || len(feed.objects) != 1 {
		t.Errorf("Run = %v, %d objects left", err, len(feed.objects))
	}
}

// FuzzGunzip: whatever the bytes, reading them as gzip gives what the standard
// library gives, or an error that is the object's own.
func FuzzGunzip(f *testing.F) {
	f.Add([]byte(zipped("hello", " world")))
	f.Add([]byte(zipped("x") + "garbage that follows"))
	f.Add([]byte("\x1f\x8b"))
	f.Fuzz(func(t *testing.T, in []byte) {
		raw := &countingReader{r: bytes.NewReader(in)}
		got, err := io.ReadAll(io.LimitReader(&gunzip{src: raw}, 1<<20))
		var broken *gzipError
		if err != nil && !errors.As(err, &broken) {
			t.Fatalf("error %T %v", err, err)
		}
		if raw.at > int64(len(in)) {
			t.Fatalf("%d of %d bytes counted", raw.at, len(in))
		}
		z, zerr := gzip.NewReader(bytes.NewReader(in))
		if zerr != nil {
			return
		}
		want, zerr := io.ReadAll(io.LimitReader(z, 1<<20))
		if err == nil && zerr == nil && !bytes.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}
