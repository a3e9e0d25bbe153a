package front

import "time"

// call is a client's request under way to a container.
type call struct {
	target  Target
	answer  Answer
	outcome Outcome

	up        *upstream // where it is; nil before and after
	forwarded bool      // Done is owed
	taken     bool      // the request is no longer in the client's inbox
	streamed  bool      // some of its body is in no buffer any more
	started   bool      // the client has some of the answer
	tries     int
	begun     time.Duration

	req  []byte // the head for the container, with a short body
	body []byte // a long body, in the client's inbox
	left int64  // what is still to come of a body that goes on as it comes
}

// begin forgets the call before.
func (k *call) begin() {
	k.target.reset()
	k.answer.reset()
	k.outcome.reset()
	k.up, k.forwarded, k.taken, k.streamed, k.started, k.tries = nil, false, false, false, false, 0
	k.body, k.left = nil, 0
}

// end gives back what the call held.
func (k *call) end(c *client) {
	c.l.pool.put(k.req)
	k.req, k.body = nil, nil
	k.target.Ref = nil
	for _, b := range []*[]byte{(*[]byte)(&k.target.Fields), (*[]byte)(&k.target.Extra), (*[]byte)(&k.answer.Fields), &k.answer.Body, &k.outcome.Body} {
		if cap(*b) > maxKept {
			*b = nil
		}
	}
}

// maxKept is how long a buffer may be that a client's connection keeps for the next
// request.
const maxKept = 4 << 10

// forward sends the request to call.target. body is what has come of it, all of it
// if whole.
func (c *client) forward(body []byte, whole bool) {
	k := &c.call
	k.forwarded = true
	k.begun = c.l.now
	length := int64(c.need - c.headLen)
	k.req = appendRequest(c.l.pool.get(smallestBuffer+min(len(body), inline)), &k.target, length)
	c.phase = answering
	switch {
	case whole && length <= inline:
		k.req = append(k.req, body...)
		c.in.take(c.need)
		k.taken = true
	case whole:
		c.in.settle(&c.l.pool)
		k.body = c.in.bytes()[c.headLen:c.need]
	default:
		c.phase = streaming
		c.in.take(c.headLen)
		k.taken = true
		k.left = length
		c.await(forBody)
	}
	if c.phase == answering {
		c.await(forNothing)
	}
	c.dial()
}

// dial sends the request on a connection to the target.
func (c *client) dial() {
	b := c.l.backend(c.call.target.Addr)
	u, why := b.connection(c.l)
	if u == nil {
		c.call.fail(c, why, false)
		return
	}
	c.call.up, u.client = u, c
	if !u.connecting {
		u.request()
	}
}

// requested is called when the whole request is on its way: the container's time
// begins.
func (c *client) requested() {
	if limit := c.call.target.Limit; limit > 0 {
		c.l.wheel.set(&c.call.up.timer, c.l.now+limit)
	} else {
		c.l.wheel.set(&c.call.up.timer, 0)
	}
}

// pump passes a body on while it comes.
func (c *client) pump() {
	k := &c.call
	u := k.up
	if u == nil || u.connecting {
		return
	}
	for round := 0; k.left > 0; round++ {
		if u.out.pending() {
			return // u.ready goes on
		}
		piece := c.in.bytes()
		if len(piece) == 0 {
			if !c.readable {
				return
			}
			if round == 16 {
				c.again()
				return
			}
			n, wait := c.read(c.l.buf[:min(int64(len(c.l.buf)), k.left)])
			if wait {
				return
			}
			if n == 0 {
				c.gone()
				return
			}
			piece = c.l.buf[:n]
		} else {
			c.in.take(len(piece))
		}
		k.streamed = true
		k.left -= int64(len(piece))
		k.outcome.Sent += int64(len(piece))
		if !u.send(false, piece) {
			u.broken()
			return
		}
	}
	c.in.settle(&c.l.pool)
	c.phase = answering
	c.await(forNothing)
	c.requested()
	if c.hup {
		c.gone()
	}
}

// fail ends the call without the container's answer. quiet leaves the client to the
// caller.
func (k *call) fail(c *client, why Failure, quiet bool) {
	o := &k.outcome
	o.Failure = why
	o.Total = c.l.clock() - k.begun
	o.Again = !quiet && !k.streamed && !k.started && (why == Refused || why == Saturated || why == Reset)
	if k.up != nil {
		k.up.client = nil
		k.up.close()
		k.up = nil
	}
	k.forwarded = false
	if quiet || k.started {
		c.l.handler.Done(&k.target, o, nil)
		if !quiet {
			c.close()
		}
		return
	}
	k.answer.reset()
	if c.l.handler.Done(&k.target, o, &k.answer) && o.Again && k.tries < maxTries {
		k.tries++
		k.forwarded = true
		k.begun = c.l.clock()
		o.reset()
		c.dial()
		return
	}
	o.defaultAnswer(&k.answer)
	c.reply()
}

// complete is called with the last byte of the container's answer.
func (k *call) complete(c *client) {
	o := &k.outcome
	o.Total = c.l.now - k.begun
	k.up = nil
	k.forwarded = false
	if k.started {
		if c.phase == streaming {
			c.last = true // the container did not want all of the request
		}
		c.l.handler.Done(&k.target, o, nil)
		c.finished()
		return
	}
	k.answer.reset()
	c.l.handler.Done(&k.target, o, &k.answer)
	o.defaultAnswer(&k.answer)
	c.reply()
}
