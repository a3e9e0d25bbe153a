package front

import "strconv"

// relay is the answer that an upstream reads: its head, then its body, which goes
// on to the client as it comes or, for a status that is not 2xx, is kept.
type relay struct {
	in    []byte // the beginning of a head that has not come in one piece
	lines lineReader
	head  bool // it has been read
	left  int64
	chunk chunkReader
	keep  bool // not 2xx: the body goes to outcome.Body
	close bool // the connection carries no other answer
	first bool // something has come
}

func (r *relay) begin() { *r = relay{in: r.in[:0]} }

func (r *relay) end(pool *buffers) {
	pool.put(r.in)
	r.in = nil
}

// silent reports whether nothing of an answer has come.
func (r *relay) silent() bool { return !r.first }

// small is up to which length parts of an answer are put together before they are
// written.
const small = 8 << 10

// read reads what has come of the answer, until nothing is there or the client
// does not take more.
func (u *upstream) read() {
	for range 8 {
		c := u.client
		if !u.readable || c.out.pending() {
			return // an event, or client.drain, goes on
		}
		n, wait := u.socket.read(u.l.buf)
		if wait {
			return
		}
		if n == 0 {
			u.ended()
			return
		}
		u.l.tick()
		if !u.relay.first {
			u.relay.first = true
			c.call.outcome.FirstByte = u.l.now - c.call.begun
		}
		if !u.take(u.l.buf[:n]) {
			return
		}
	}
	u.again()
}

// ended is called when the connection has: that can be the end of the answer.
func (u *upstream) ended() {
	c := u.client
	if !u.relay.head || u.relay.left != toEnd {
		u.lost()
		return
	}
	u.relay.left = 0
	if !u.relay.keep && !c.send(false, []byte("0\r\n\r\n")) {
		c.gone()
		return
	}
	u.complete()
}

// complete ends the answer.
func (u *upstream) complete() {
	c := u.client
	if u.relay.close || c.phase == streaming {
		u.client = nil
		u.close()
	} else {
		u.rest()
	}
	c.call.complete(c)
}

// fail ends the call and the connection.
func (u *upstream) fail(why Failure) bool {
	c := u.client
	c.call.fail(c, why, false)
	return false
}

// take works on a piece of the answer. It returns false where the answer is over,
// in whatever way.
func (u *upstream) take(data []byte) bool {
	r := &u.relay
	if r.head {
		return u.body(nil, data)
	}
	joined := len(r.in) > 0
	if joined {
		r.in = append(u.l.pool.grow(r.in, len(r.in)+len(data)), data...)
		data = r.in
	}
	for {
		n, state := r.lines.find(data)
		switch {
		case state == refused, n > maxHead, state == partial && len(data) > maxHead:
			return u.fail(Malformed)
		case state == partial:
			if !joined {
				r.in = append(u.l.pool.get(len(data)), data...)
			} else {
				r.in = r.in[:copy(r.in, data)]
			}
			return true
		}
		r.lines = lineReader{}
		if !u.l.answer.parse(data[:n]) {
			return u.fail(Malformed)
		}
		data = data[n:]
		if u.l.answer.status >= 200 {
			return u.headed(data)
		}
	}
}

// headed begins the answer to the client; data is the beginning of the body.
func (u *upstream) headed(data []byte) bool {
	r, head := &u.relay, &u.l.answer
	c := u.client
	k := &c.call
	r.head, r.left, r.close = true, head.length, head.close
	k.outcome.Status = head.status
	if r.keep = head.status > 299; r.keep {
		return u.body(nil, data)
	}
	if limit := k.target.MaxAnswer; limit > 0 && head.length > limit {
		return u.fail(TooLarge)
	}
	b := appendStatus(u.l.scratch[:0], 200) // RT-3
	b = append(b, u.l.date.at(u.l.front.begun.Add(u.l.now))...)
	b = append(b, head.kept...)
	b = append(b, k.target.Extra...)
	if head.length >= 0 {
		b = appendLength(b, head.length)
	} else {
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	b = appendEnd(b, c.last)
	u.l.scratch = b[:0]
	return u.body(b, data)
}

// body passes on a piece of the body, behind the answer's head if that is not nil.
// It returns false where the answer is over.
func (u *upstream) body(head, data []byte) bool {
	r := &u.relay
	c := u.client
	k := &c.call
	payload, over := data, false
	switch r.left {
	case chunked:
		var n int
		var ok bool
		if payload, n, ok = r.chunk.read(data); !ok {
			return u.fail(Malformed)
		}
		over = r.chunk.ended()
		r.close = r.close || n < len(data)
	case toEnd:
	default:
		n := min(r.left, int64(len(data)))
		payload = data[:n]
		r.left -= n
		over = r.left == 0
		r.close = r.close || n < int64(len(data))
	}
	k.outcome.Received += int64(len(payload))
	if r.keep {
		o := &k.outcome
		o.Body = append(o.Body, payload[:min(len(payload), maxErrorBody-len(o.Body))]...)
		if len(o.Body) == maxErrorBody && !over {
			r.close, over = true, true
		}
	} else {
		if limit := k.target.MaxAnswer; limit > 0 && k.outcome.Received > limit {
			return u.fail(TooLarge)
		}
		k.started = true
		if !u.pass(head, payload, over) {
			c.gone()
			return false
		}
	}
	if over {
		u.complete()
		return false
	}
	return true
}

// pass writes to the client. It reports false where that takes nothing any more.
func (u *upstream) pass(head, payload []byte, over bool) bool {
	c := u.client
	b, tail := head, ""
	if b == nil {
		b = u.l.scratch[:0]
	}
	if u.relay.left < 0 {
		if len(payload) > 0 {
			b = strconv.AppendInt(b, int64(len(payload)), 16)
			b = append(b, "\r\n"...)
			tail = "\r\n"
		}
		if over {
			tail += "0\r\n\r\n"
		}
	}
	if len(b)+len(payload)+len(tail) == 0 {
		return true
	}
	ok := true
	if len(payload) <= small {
		b = append(b, payload...)
		b = append(b, tail...)
		ok = c.send(false, b)
		u.l.scratch = b[:0]
	} else {
		ok = c.send(false, b, payload, append(u.l.tail[:0], tail...))
	}
	if c.out.pending() && c.wait != forRoom {
		c.await(forRoom)
	}
	return ok
}
