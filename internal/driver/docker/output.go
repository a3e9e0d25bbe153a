package docker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/moby/moby/client"
)

// output copies the log that the engine keeps of a container to an Output. The
// log is a file, bounded by its rotation, so an Output that takes nothing holds
// up nobody but itself; what was rotated away meanwhile is lost.
type output struct {
	w     io.Writer
	since time.Time // what was printed up to then is not wanted
	read  [3]mark   // how far each stream was copied; 1 is stdout, 2 is stderr
	err   error     // how w failed

	untimed bool // messages have no times, and each comes once
}

// mark is a place in a stream: the time of the last message that was copied, and
// how many of that time were. The parts of a long line have the time of the first.
type mark struct {
	at    time.Time
	count int
}

// manyMessages is the count of a mark whose moment was copied as a whole.
const manyMessages = 1 << 30

func newOutput(w io.Writer, since time.Time) *output {
	if w == nil {
		w = io.Discard
	}
	o := &output{w: w, since: since}
	for n := range o.read {
		o.read[n] = mark{since, manyMessages}
	}
	return o
}

// disorder is by how much messages of different streams may be out of order.
const disorder = 10 * time.Second

// from is the moment from which the log is needed.
func (o *output) from() string {
	last := o.read[1].at
	if o.read[2].at.After(last) {
		last = o.read[2].at
	}
	if last = last.Add(-disorder); last.Before(o.since) {
		last = o.since
	}
	if last.IsZero() {
		return ""
	}
	return last.UTC().Format(time.RFC3339Nano)
}

// copyLog copies the log of a container from where it was left: to its end with
// follow, which comes with the container's, and else what there is.
func (d *Driver) copyLog(ctx context.Context, container string, o *output, follow bool) error {
	r, err := d.engine.ContainerLogs(ctx, container, client.ContainerLogsOptions{
		ShowStdout: true, ShowStderr: true, Timestamps: true, Follow: follow, Since: o.from(),
	})
	if err != nil {
		return err
	}
	defer r.Close()
	return o.copy(r)
}

// errOutput wraps what an Output answered.
var errOutput = errors.New("output")

// maxMessage bounds one message; engines cut lines into much smaller ones.
const maxMessage = 16 << 20

// copy reads the frames of a log stream: eight bytes of head, of which the first
// is the stream and the last four are the length, then a time, a space and what
// was printed. Only whole messages are copied.
func (o *output) copy(r io.Reader) error {
	in := bufio.NewReaderSize(r, 32<<10)
	var passes [3]pass
	var message bytes.Buffer
	for {
		var head [8]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		size := binary.BigEndian.Uint32(head[4:])
		if head[0] < 1 || head[0] > 2 || size > maxMessage {
			return fmt.Errorf("the log has a message of %d bytes for stream %d", size, head[0])
		}
		message.Reset()
		if _, err := io.CopyN(&message, in, int64(size)); err != nil {
			return fmt.Errorf("the log breaks off within a message: %w", err)
		}
		if err := o.take(message.Bytes(), &o.read[head[0]], &passes[head[0]]); err != nil {
			return err
		}
	}
}

// pass is one reading of a stream, from before the mark.
type pass struct {
	same   int  // messages of the mark's time that were met
	beyond bool // the mark was passed: all that comes is new, whatever its time
}

// skips reports whether a message was copied by an earlier reading.
func (p *pass) skips(at time.Time, m mark) bool {
	switch {
	case p.beyond:
	case at.Before(m.at):
		return true
	case at.Equal(m.at) && p.same < m.count:
		p.same++
		return true
	}
	p.beyond = true
	return false
}

// take copies one message unless it was copied before. A message without a time
// is part of the one before it.
func (o *output) take(text []byte, m *mark, p *pass) error {
	if o.untimed {
		return o.write(text)
	}
	at := m.at
	if i := bytes.IndexByte(text, ' '); i > 0 && i < 64 {
		if t, err := time.Parse(time.RFC3339Nano, string(text[:i])); err == nil {
			at, text = t, text[i+1:]
		}
	}
	if p.skips(at, *m) {
		return nil
	}
	if at.Equal(m.at) {
		m.count++
	} else {
		*m = mark{at, 1}
	}
	return o.write(text)
}

func (o *output) write(text []byte) error {
	if _, err := o.w.Write(text); err != nil {
		o.err = err
		return fmt.Errorf("%w: %w", errOutput, err)
	}
	return nil
}
