package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/joblog"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

var place = joblog.JobName(resource.Key{Region: "us-east-1", Name: "j"})

// followed runs a follower over a Dir and gives the texts that it wrote.
func followed(t *testing.T, logs *joblog.Dir, query string, ended func() bool, stop <-chan struct{}) (texts []string, err error) {
	t.Helper()
	values, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	q, err := readLogQuery(values, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	f := follower{logs: logs, place: place, query: q, after: q.since, out: json.NewEncoder(&out)}
	if err = f.begin(); err == nil && q.follow {
		err = f.follow(t.Context(), stop, func() error { return nil }, func() (bool, error) { return ended(), nil })
	}
	for lines := json.NewDecoder(&out); lines.More(); {
		var l LogLine
		if err := lines.Decode(&l); err != nil {
			t.Fatal(err)
		}
		texts = append(texts, l.Text)
	}
	return texts, err
}

// A follower of many streams that begin and are written at once writes every line
// once, those of a stream in their order, and ends with the job.
func TestFollowMissesNothing(t *testing.T) {
	t.Parallel()
	logs := joblog.New(t.TempDir(), joblog.Limits{}, time.Now)
	const streams, lines = 6, 400
	var left atomic.Int32
	left.Store(streams)
	var wait sync.WaitGroup
	for i := range streams {
		wait.Go(func() {
			defer left.Add(-1)
			w, err := logs.Create(place, fmt.Sprint("i-", i))
			if err != nil {
				t.Error(err)
				return
			}
			defer w.Close()
			for k := range lines {
				w.Line(fmt.Sprintf("%d:%d", i, k))
			}
		})
	}
	got, err := followed(t, logs, "follow=1", func() bool { return left.Load() == 0 }, nil)
	wait.Wait()
	if err != nil || len(got) != streams*lines {
		t.Fatalf("%d lines of %d, %v", len(got), streams*lines, err)
	}
	next := map[string]int{}
	for _, text := range got {
		stream, n, _ := strings.Cut(text, ":")
		if n != fmt.Sprint(next[stream]) {
			t.Fatalf("stream %s: line %s, want %d", stream, n, next[stream])
		}
		next[stream]++
	}
}

// A silent job is looked at every second; a server that stops, and a client that
// is gone, end the answer.
func TestFollowEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		logs := joblog.New(t.TempDir(), joblog.Limits{}, time.Now)
		w, err := logs.Create(place, "i")
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		began := time.Now()
		over := func() bool { return time.Since(began) > time.Minute }
		go func() {
			time.Sleep(30 * time.Second)
			w.Line("in the middle")
			time.Sleep(30 * time.Second)
			w.Line("last words")
		}()
		got, err := followed(t, logs, "follow=1", over, nil)
		if took := time.Since(began); err != nil || fmt.Sprint(got) != "[in the middle last words]" || took > time.Minute+3*time.Second {
			t.Errorf("%q, %v after %v", got, err, took)
		}
		stop := make(chan struct{})
		time.AfterFunc(10*time.Second, func() { close(stop) })
		began = time.Now()
		if _, err := followed(t, logs, "follow=1", func() bool { return false }, stop); err != nil || time.Since(began) != 10*time.Second {
			t.Errorf("stopped after %v: %v", time.Since(began), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		f := follower{logs: logs, place: place, out: json.NewEncoder(&bytes.Buffer{})}
		gone := errors.New("gone")
		if err := f.follow(ctx, nil, func() error { return gone }, func() (bool, error) { return false, nil }); !errors.Is(err, gone) {
			t.Errorf("a client that is gone: %v", err)
		}
		f.follow(ctx, nil, func() error { return nil }, func() (bool, error) { return false, nil }) // returns
	})
}

func TestLogQuery(t *testing.T) {
	t.Parallel()
	logs := joblog.New(t.TempDir(), joblog.Limits{}, time.Now)
	for i, stream := range []string{"i-1", "i-1/data-log", "i-2", "i-2/data-log"} {
		w, err := logs.Create(place, stream)
		if err != nil {
			t.Fatal(err)
		}
		for k := range 3 {
			w.Line(fmt.Sprintf("%d%d", i, k))
		}
		w.Close()
	}
	for query, want := range map[string]string{
		"":                             "[00 01 02 10 11 12 20 21 22 30 31 32]",
		"stream=i-1":                   "[00 01 02]",
		"stream=*/data-log":            "[10 11 12 30 31 32]",
		"stream=nope":                  "[]",
		"tail=4":                       "[22 30 31 32]",
		"tail=2&stream=i-?":            "[21 22]",
		"tail=0":                       "[]",
		"tail=0&follow=1":              "[]",
		"tail=1&follow=1":              "[32]",
		"since=1h&tail=1":              "[32]",
		"since=-1h":                    "[]",
		"since=2026-11-24T07:30:00Z":   "[00 01 02 10 11 12 20 21 22 30 31 32]",
		"since=2226-11-24T07:30:00Z":   "[]",
		"stream=i-2/data-log&follow=0": "[30 31 32]",
	} {
		got, err := followed(t, logs, query, func() bool { return true }, nil)
		if err != nil || fmt.Sprint(got) != want {
			t.Errorf("%s: %v, %v", query, got, err)
		}
	}
	for _, bad := range []string{"since=x", "tail=x", "tail=-1", "tail=10001", "stream=["} {
		values, err := url.ParseQuery(bad)
		if err != nil {
			t.Fatal(err)
		}
		if q, err := readLogQuery(values, time.Now()); err == nil {
			t.Errorf("%s: %+v", bad, q)
		}
	}
}
