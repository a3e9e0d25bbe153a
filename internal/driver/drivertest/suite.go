package drivertest

import (
	"context"
	"errors"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

func testServes(t *testing.T, h Harness) {
	i := start(t, h.New(t), h.spec(t, "serves", nil))
	if i.ID() != "serves" {
		t.Errorf("ID %q", i.ID())
	}
	ready(t, i)
	select {
	case <-i.Done():
		t.Error("done while it serves")
	default:
	}
	stop(t, i, patience)
	silent(t, "the instance", i.Addr())
}

// testEnvironment proves CC-1 (serve), and CC-45 as far as a driver goes: what
// the Spec says arrives unchanged, and nothing of the server's comes with it.
func testEnvironment(t *testing.T, h Harness) {
	given := map[string]string{
		"SAGEMAKER_BATCH": "true",
		"EMPTY":           "",
		"SPACES":          " a  b ",
		"NASTY":           "$HOME `id` \"quoted\" 'too' a=b\nsecond line ü",
		"lower_case":      "x",
	}
	spec := h.spec(t, "environment", given)
	spec.Args = []string{"serve", "two words", ""}
	i := start(t, h.New(t), spec)
	ready(t, i)
	got := factsOf(t, i)
	if !slices.Equal(got.Args, spec.Args) {
		t.Errorf("arguments %q, want %q", got.Args, spec.Args)
	}
	for key, value := range given {
		if arrived, ok := got.Env[key]; !ok || arrived != value {
			t.Errorf("%s is %q (%v), want %q", key, arrived, ok, value)
		}
	}
	want := slices.Collect(maps.Keys(given))
	for _, key := range h.PlatformEnv {
		if key != "SM_MODEL_DIR" {
			want = append(want, key)
		}
	}
	keys := slices.DeleteFunc(slices.Collect(maps.Keys(got.Env)), func(key string) bool {
		return slices.Contains(h.OptionalEnv, key) && !slices.Contains(want, key)
	})
	slices.Sort(want)
	slices.Sort(keys)
	if !slices.Equal(keys, want) {
		t.Errorf("variables\n%q, want\n%q", keys, want)
	}
}

func testModel(t *testing.T, h Harness) {
	spec := h.spec(t, "model", nil)
	spec.ModelDir = t.TempDir()
	if err := os.MkdirAll(filepath.Join(spec.ModelDir, "code"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(spec.ModelDir, "code", "weights"), []byte("w\x00w"), 0o644); err != nil {
		t.Fatal(err)
	}
	i := start(t, h.New(t), spec)
	ready(t, i)
	if got := string(get(t, i, "/model/code/weights")); got != "w\x00w" {
		t.Errorf("the model file holds %q", got)
	}
}

// testOutput proves CC-7: everything printed arrives, in order, before the end.
func testOutput(t *testing.T, h Harness) {
	const lines = 2000
	spec := h.spec(t, "output", map[string]string{EnvPrint: strconv.Itoa(lines), EnvExit: "0"})
	i := start(t, h.New(t), spec)
	if exit := ended(t, i); exit != (driver.Exit{}) {
		t.Errorf("exit %+v", exit)
	}
	got := strings.Split(strings.TrimSuffix(spec.Output.(*printed).String(), "\n"), "\n")
	if h.StreamsApart {
		got = interleave(got)
	}
	for n := range lines {
		if n >= len(got) || got[n] != line(n) {
			t.Fatalf("of %d lines, line %d is not %q", len(got), n, line(n))
		}
	}
	if len(got) != lines {
		t.Errorf("%d lines, want %d", len(got), lines)
	}
}

// interleave takes the lines of stderr, which are the even ones, and of stdout,
// each in the order they came, and puts them together as they were printed.
func interleave(got []string) []string {
	var streams [2][]string
	for _, l := range got {
		n, _ := strconv.Atoi(l[strings.LastIndexByte(l, ' ')+1:])
		streams[n%2] = append(streams[n%2], l)
	}
	var out []string
	for len(streams[0]) > 0 || len(streams[1]) > 0 {
		for n := range streams {
			if len(streams[n]) > 0 {
				out = append(out, streams[n][0])
				streams[n] = streams[n][1:]
			}
		}
	}
	return out
}

// failing is an Output that has failed.
type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("no space in the log") }

func testOutputFails(t *testing.T, h Harness) {
	spec := h.spec(t, "output-fails", map[string]string{EnvPrint: "20000", EnvExit: "4"})
	spec.Output = failing{}
	if exit := ended(t, start(t, h.New(t), spec)); exit.Code != 4 {
		t.Errorf("exit %+v", exit)
	}
}

func testExitCodes(t *testing.T, h Harness) {
	d := h.New(t)
	for _, code := range []int{0, 1, 3, 255} {
		text := strconv.Itoa(code)
		i := start(t, d, h.spec(t, "exit-"+text, map[string]string{EnvExit: text}))
		if got, want := ended(t, i), (driver.Exit{Code: code}); got != want {
			t.Errorf("exit %+v, want %+v", got, want)
		}
	}
}

func testExitServing(t *testing.T, h Harness) {
	i := start(t, h.New(t), h.spec(t, "exit-serving", nil))
	ready(t, i)
	_, _ = post(i, "/exit?code=9", "") // it may be gone before it answers
	if got, want := ended(t, i), (driver.Exit{Code: 9}); got != want {
		t.Errorf("exit %+v, want %+v", got, want)
	}
	silent(t, "the instance", i.Addr())
}

func testSignal(t *testing.T, h Harness) {
	i := start(t, h.New(t), h.spec(t, "signal", nil))
	ready(t, i)
	_, _ = post(i, "/die", "")
	if got, want := ended(t, i), (driver.Exit{Code: -1, Signal: "killed"}); got != want {
		t.Errorf("exit %+v, want %+v", got, want)
	}
}

func testStopTerm(t *testing.T, h Harness) {
	i := start(t, h.New(t), h.spec(t, "stop-term", nil))
	ready(t, i)
	stop(t, i, patience)
	if got, want := ended(t, i), (driver.Exit{Code: -1, Signal: "terminated"}); got != want {
		t.Errorf("exit %+v, want %+v", got, want)
	}
}

func testStopCode(t *testing.T, h Harness) {
	i := start(t, h.New(t), h.spec(t, "stop-code", map[string]string{EnvTerm: "7"}))
	ready(t, i)
	stop(t, i, patience)
	if got, want := ended(t, i), (driver.Exit{Code: 7}); got != want {
		t.Errorf("exit %+v, want %+v", got, want)
	}
}

// testStopForce proves CC-27 with a shorter grace.
func testStopForce(t *testing.T, h Harness) {
	const grace = 200 * time.Millisecond
	i := start(t, h.New(t), h.spec(t, "stop-force", map[string]string{EnvTerm: "ignore"}))
	ready(t, i)
	began := time.Now()
	stop(t, i, grace)
	if took := time.Since(began); took < grace {
		t.Errorf("force after %v, within the grace of %v", took, grace)
	}
	if got, want := ended(t, i), (driver.Exit{Code: -1, Signal: "killed"}); got != want {
		t.Errorf("exit %+v, want %+v", got, want)
	}
}

func testStopContext(t *testing.T, h Harness) {
	i := start(t, h.New(t), h.spec(t, "stop-context", map[string]string{EnvTerm: "ignore"}))
	ready(t, i)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := i.Stop(ctx, time.Hour); err != nil {
		t.Errorf("stop: %v", err)
	}
	if got := ended(t, i); got.Signal != "killed" {
		t.Errorf("exit %+v", got)
	}
}

func testStopNoGrace(t *testing.T, h Harness) {
	i := start(t, h.New(t), h.spec(t, "stop-no-grace", map[string]string{EnvTerm: "7"}))
	ready(t, i)
	stop(t, i, 0)
	got := ended(t, i)
	if h.TermFirst && got == (driver.Exit{Code: 7}) {
		return
	}
	if got.Signal != "killed" {
		t.Errorf("exit %+v", got)
	}
}

// testLeaving has the runtime want an instance gone: it says so, and goes on serving
// until it is stopped.
func testLeaving(t *testing.T, h Harness) {
	d := h.New(t)
	i := start(t, d, h.spec(t, "leaving", nil))
	ready(t, i)
	select {
	case <-i.Leaving():
		t.Fatal("leaving, and nothing wants it gone")
	default:
	}
	if h.Leave == nil {
		return
	}
	h.Leave(t, d, i)
	select {
	case <-i.Leaving():
	case <-time.After(patience):
		t.Fatal("not leaving in time")
	}
	ready(t, i)
	stop(t, i, patience)
	if got := ended(t, i); got.Lost {
		t.Errorf("exit %+v", got)
	}
}

func testStopTwice(t *testing.T, h Harness) {
	i := start(t, h.New(t), h.spec(t, "stop-twice", nil))
	stop(t, i, patience)
	first := i.Exit()
	stop(t, i, patience)
	stop(t, i, 0)
	if i.Exit() != first {
		t.Errorf("the exit changed from %+v to %+v", first, i.Exit())
	}
}

// testStopConcurrent has one caller that waits long and one that does not: the
// shorter grace counts.
func testStopConcurrent(t *testing.T, h Harness) {
	i := start(t, h.New(t), h.spec(t, "stop-many", map[string]string{EnvTerm: "ignore"}))
	ready(t, i)
	var all sync.WaitGroup
	for n := range 8 {
		grace := time.Hour
		if n%2 == 1 {
			grace = time.Duration(n) * 10 * time.Millisecond
		}
		all.Go(func() {
			if err := i.Stop(context.Background(), grace); err != nil {
				t.Errorf("stop: %v", err)
			}
		})
	}
	all.Wait()
	if got := ended(t, i); got.Signal != "killed" {
		t.Errorf("exit %+v", got)
	}
}

// forked starts an instance with a child in its session and one that left it.
func forked(t *testing.T, h Harness, id string) (i driver.Handle, children []string) {
	t.Helper()
	if h.CannotFork != "" {
		t.Skip(h.CannotFork)
	}
	i = start(t, h.New(t), h.spec(t, id, nil))
	ready(t, i)
	paths := []string{"/fork", "/fork?session=own"}
	if h.SameSession {
		paths = paths[:1]
	}
	for _, path := range paths {
		answer, err := post(i, path, "")
		_, port, cut := net.SplitHostPort(answer)
		if err != nil || cut != nil {
			t.Fatalf("fork: %q, %v", answer, err)
		}
		host, _, _ := net.SplitHostPort(i.Addr())
		addr := net.JoinHostPort(host, port)
		if knock(addr, patience) == "" {
			t.Fatalf("no child listens at %s", addr)
		}
		children = append(children, addr)
	}
	return i, children
}

func testStopChildren(t *testing.T, h Harness) {
	i, children := forked(t, h, "stop-children")
	stop(t, i, patience)
	for _, addr := range children {
		silent(t, "a child", addr)
	}
}

func testEndChildren(t *testing.T, h Harness) {
	i, children := forked(t, h, "end-children")
	_, _ = post(i, "/exit?code=0", "")
	ended(t, i)
	for _, addr := range children {
		silent(t, "a child", addr)
	}
}

func testStartContext(t *testing.T, h Harness) {
	ctx, cancel := context.WithCancel(context.Background())
	spec := h.spec(t, "start-context", nil)
	i, err := h.New(t).Start(ctx, spec)
	cancel()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { stop(t, i, 0) }()
	ready(t, i)
}

func testStartCancelled(t *testing.T, h Harness) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	d := h.New(t)
	if _, err := d.Start(ctx, h.spec(t, "cancelled", nil)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	start(t, d, h.spec(t, "cancelled", nil)) // the ID is free
}

func testIDInUse(t *testing.T, h Harness) {
	d := h.New(t)
	first := start(t, d, h.spec(t, "in-use", nil))
	if _, err := d.Start(t.Context(), h.spec(t, "in-use", nil)); !fault.Is(err, fault.Exists) {
		t.Errorf("second start: %v", err)
	}
	ready(t, first)
	stop(t, first, 0)
	ready(t, start(t, d, h.spec(t, "in-use", nil)))
}

func testBadID(t *testing.T, h Harness) {
	d := h.New(t)
	for _, id := range []string{"", "Upper", "../x", "a/b", strings.Repeat("x", 64), "a b"} {
		if _, err := d.Start(t.Context(), h.spec(t, id, nil)); err == nil {
			t.Errorf("ID %q was accepted", id)
		}
	}
}

func testUnknownImage(t *testing.T, h Harness) {
	d := h.New(t)
	spec := h.spec(t, "unknown-image", nil)
	spec.Image = "drivertest/no-such-image:1"
	_, err := d.Start(t.Context(), spec)
	if !errors.Is(err, driver.ErrNoImage) || !fault.Is(err, fault.Invalid) || !strings.Contains(fault.TextOf(err), spec.Image) {
		t.Errorf("error %v", err)
	}
	start(t, d, h.spec(t, "unknown-image", nil)) // the ID is free
}

// testPrepare proves EP-21: the resolved name is one of the specified repository
// with a digest, the same each time, and it is what Start can be pinned to.
func testPrepare(t *testing.T, h Harness) {
	d := h.New(t)
	image, err := d.Prepare(t.Context(), h.Image, nil)
	if err != nil {
		t.Fatal(err)
	}
	repository, digest, _ := strings.Cut(image.Resolved, "@sha256:")
	if image.Specified != h.Image || !strings.HasPrefix(h.Image, repository) || len(digest) != 64 || image.At.IsZero() {
		t.Errorf("prepared %+v", image)
	}
	if again, err := d.Prepare(t.Context(), h.Image, nil); err != nil || again.Resolved != image.Resolved {
		t.Errorf("the second time %+v, %v", again, err)
	}
	spec := h.spec(t, "prepared", nil)
	spec.Resolved = image.Resolved
	ready(t, start(t, d, spec))
}

func testPrepareUnknown(t *testing.T, h Harness) {
	if h.AnyImage {
		t.Skip("this driver finds out at Start")
	}
	const image = "drivertest/no-such-image:1"
	_, err := h.New(t).Prepare(t.Context(), image, nil)
	if !errors.Is(err, driver.ErrNoImage) || !strings.Contains(fault.TextOf(err), image) {
		t.Errorf("error %v", err)
	}
}

func testAttach(t *testing.T, h Harness) {
	if _, err := h.New(t).Attach(t.Context(), driver.Spec{ID: "nobody"}); !errors.Is(err, driver.ErrNoInstance) {
		t.Errorf("error %v", err)
	}
}

func testSweep(t *testing.T, h Harness) {
	if err := h.New(t).Sweep(t.Context(), []string{"nobody"}); err != nil {
		t.Errorf("error %v", err)
	}
}

// testMany runs instances side by side under two drivers, with the same IDs where
// the host keeps drivers apart.
func testMany(t *testing.T, h Harness) {
	drivers := []driver.Driver{h.New(t), h.New(t)}
	var all sync.WaitGroup
	var mu sync.Mutex
	var running []driver.Handle
	for n := range 12 {
		spec := h.spec(t, "many-"+strconv.Itoa(n), map[string]string{"NUMBER": strconv.Itoa(n)})
		all.Go(func() {
			i, err := drivers[n%2].Start(t.Context(), spec)
			if err != nil {
				t.Errorf("instance %d: %v", n, err)
				return
			}
			mu.Lock()
			running = append(running, i)
			mu.Unlock()
		})
	}
	all.Wait()
	addrs := map[string]bool{}
	for _, i := range running {
		ready(t, i)
		if got := "many-" + factsOf(t, i).Env["NUMBER"]; got != i.ID() {
			t.Errorf("at the address of %s answers %s", i.ID(), got)
		}
		addrs[i.Addr()] = true
	}
	if len(addrs) != 12 {
		t.Errorf("%d addresses for 12 instances", len(addrs))
	}
	for _, i := range running {
		all.Go(func() {
			if err := i.Stop(context.Background(), patience); err != nil {
				t.Errorf("stop %s: %v", i.ID(), err)
			}
		})
	}
	all.Wait()
}
