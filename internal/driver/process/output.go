package process

import (
	"fmt"
	"io"
	"os"
	"time"
)

const (
	outputBlock  = 16 << 10
	outputBlocks = 32
)

// outputPump copies what an instance prints to its Output. It holds at most half
// a mebibyte. When the Output takes nothing for the stall time, what the instance
// prints is dropped, and counted in a line of its own, until there is room again:
// an instance never blocks for long on its own log.
type outputPump struct {
	w     io.Writer
	stall time.Duration

	full    chan outputChunk // read, not yet written
	free    chan []byte      // blocks that are not in use
	blocks  int              // blocks made so far
	stalled bool             // the last wait for a block was in vain
	done    chan struct{}    // closed when the last chunk is written
	err     error            // how w failed; valid once done is closed
}

// outputChunk is some output, and how many bytes were dropped before it.
type outputChunk struct {
	data    []byte
	dropped int64
}

// pump starts copying from r to w until r ends. A nil w discards.
func pump(r io.Reader, w io.Writer, stall time.Duration) *outputPump {
	if w == nil {
		w = io.Discard
	}
	p := &outputPump{
		w:     w,
		stall: stall,
		full:  make(chan outputChunk, outputBlocks+1),
		free:  make(chan []byte, outputBlocks),
		done:  make(chan struct{}),
	}
	go p.read(r)
	go p.write()
	return p
}

// wait returns when everything is written, or false after about twice the limit:
// once for a reader that an escaped process holds open, once for the Output. It
// closes the file.
func (p *outputPump) wait(f *os.File, limit time.Duration) bool {
	defer f.Close()
	_ = f.SetReadDeadline(time.Now().Add(limit)) // fails only when the file is no pipe
	t := time.NewTimer(2 * limit)
	defer t.Stop()
	select {
	case <-p.done:
		return true
	case <-t.C:
		return false
	}
}

func (p *outputPump) read(r io.Reader) {
	defer close(p.full)
	var scratch []byte
	var dropped int64
	for {
		block := p.takeBlock()
		if block == nil {
			if scratch == nil {
				scratch = make([]byte, outputBlock)
			}
			n, err := r.Read(scratch)
			dropped += int64(n)
			if err != nil {
				p.full <- outputChunk{dropped: dropped} // the place that is kept for it
				return
			}
			continue
		}
		n, err := r.Read(block)
		if n > 0 || dropped > 0 {
			p.full <- outputChunk{block[:n], dropped}
			dropped = 0
		}
		if err != nil {
			return
		}
	}
}

// takeBlock gives a block, or nil when the writer has been stuck for too long.
func (p *outputPump) takeBlock() []byte {
	select {
	case b := <-p.free:
		p.stalled = false
		return b
	default:
	}
	if p.blocks < outputBlocks {
		p.blocks++
		return make([]byte, outputBlock)
	}
	if p.stalled {
		return nil
	}
	t := time.NewTimer(p.stall)
	defer t.Stop()
	select {
	case b := <-p.free:
		return b
	case <-t.C:
		p.stalled = true
		return nil
	}
}

// write ends with the reader. After an error of w it only drains.
func (p *outputPump) write() {
	defer close(p.done)
	for c := range p.full {
		if c.dropped > 0 && p.err == nil {
			_, p.err = fmt.Fprintf(p.w, "\n[sagebrush: %d bytes of output were dropped because the log could not keep up]\n", c.dropped)
		}
		if len(c.data) > 0 && p.err == nil {
			_, p.err = p.w.Write(c.data)
		}
		if c.data != nil {
			p.free <- c.data[:cap(c.data)]
		}
	}
}
