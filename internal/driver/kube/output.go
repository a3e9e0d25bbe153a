package kube

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// output copies the log that a node keeps of a container to an Output. The log is a
// file, bounded by its rotation, so an Output that takes nothing holds up nobody but
// itself; what was rotated away meanwhile is lost. Each line has the time when it was
// printed; those of stdout and stderr may be a little out of order. A last line without
// end gets one.
//
// A log is asked for from a second on, which is all that the API can say. What was
// copied of the last two seconds are the first so many lines of the next answer.
type output struct {
	w      io.Writer
	since  time.Time // what was printed up to then is not wanted
	second int64     // the last second of which lines were copied; 0 is none
	counts [2]int    // how many lines of the second before it, and of it, were
	err    error     // how w failed
}

func newOutput(w io.Writer, since time.Time) *output {
	if w == nil {
		w = io.Discard
	}
	return &output{w: w, since: since}
}

// from is the moment from which the log is needed, nil for all of it.
func (o *output) from() *metav1.Time {
	first := o.second - 1
	if !o.since.IsZero() {
		first = max(first, o.since.Unix())
	}
	if first <= 0 {
		return nil
	}
	return &metav1.Time{Time: time.Unix(first, 0)}
}

// note counts a line.
func (o *output) note(second int64) {
	switch {
	case second == o.second:
		o.counts[1]++
	case second == o.second-1:
		o.counts[0]++
	case second > o.second:
		before := 0
		if second == o.second+1 {
			before = o.counts[1]
		}
		o.second, o.counts = second, [2]int{before, 1}
	} // else nobody asks for it again
}

// copyLog copies the log of a pod from where it was left: to its end with follow,
// which comes with the container's, and else what there is.
func (d *Driver) copyLog(ctx context.Context, pod string, o *output, follow bool) error {
	stream, err := d.clients.logs(pod, &corev1.PodLogOptions{
		Container: containerName, Timestamps: true, Follow: follow, SinceTime: o.from(),
	}).Stream(ctx)
	if err != nil {
		return err
	}
	defer stream.Close()
	return o.copy(stream)
}

// errOutput wraps what an Output answered.
var errOutput = errors.New("output")

// copy reads lines, each after its time and a space. What has no time is the kubelet's
// own and no output. A line counts as copied from its first byte on: a connection that
// breaks within it loses its end rather than have its beginning come twice.
func (o *output) copy(r io.Reader) error {
	in := bufio.NewReaderSize(r, 64<<10)
	known, until := o.counts[0]+o.counts[1], o.second
	begins, wanted := true, false
	for {
		piece, err := in.ReadSlice('\n')
		text := piece
		if begins && len(piece) > 0 {
			var at time.Time
			if at, text, wanted = stamped(piece); wanted {
				if known > 0 && at.Unix() <= until {
					known--
					wanted = false
				} else {
					known = 0
					o.note(at.Unix())
					wanted = at.After(o.since)
				}
			}
		}
		if wanted && len(text) > 0 {
			if _, werr := o.w.Write(text); werr != nil {
				o.err = werr
				return fmt.Errorf("%w: %w", errOutput, werr)
			}
		}
		if len(piece) > 0 {
			begins = piece[len(piece)-1] == '\n'
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
}

// stamped cuts a line's time off.
func stamped(line []byte) (at time.Time, text []byte, ok bool) {
	stamp, text, ok := bytes.Cut(line, []byte{' '})
	if !ok || len(stamp) > 64 {
		return at, line, false
	}
	at, err := time.Parse(time.RFC3339Nano, string(stamp))
	return at, text, err == nil
}
