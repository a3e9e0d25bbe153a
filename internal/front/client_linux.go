package front

import (
	"time"

	"golang.org/x/sys/unix"
)

// client is a client's connection: requests one after the other, each of which is
// a call, a reply of our own, or the end of the connection's time in the loop.
type client struct {
	socket
	in    inbox
	lines lineReader
	phase phase
	wait  waiting // what the timer is for
	last  bool    // nothing is read behind this request

	// The request whose body is gathered: its head's length, and the whole one.
	headLen, need int
	reserved      int64 // what of front.reserved is in's

	call call
}

// phase is what a client's connection is at.
type phase int

const (
	reading   phase = iota // a head, and a body that is waited for
	streaming              // a body that goes on as it comes
	answering              // the container has the request, and the client perhaps some of the answer
	flushing               // the end of the answer, which the client does not take at once
	lingering              // everything is said; what the client still sends is thrown away
)

// waiting is what a client's timer is for.
type waiting int

const (
	forNothing waiting = iota
	forFirst           // the first byte of all
	forNext            // another request
	forHead            // the rest of a head
	forBody            // the rest of a body
	forRoom            // the client to take some of its answer
	forEnd             // the client to end the connection
)

// await sets the timer.
func (c *client) await(what waiting) {
	c.wait = what
	o := &c.l.front.options
	var d time.Duration
	switch what {
	case forNothing:
		c.l.wheel.set(&c.timer, 0)
		return
	case forFirst, forHead:
		d = o.HeadTimeout
	case forNext:
		d = o.IdleTimeout
	case forBody:
		d = o.BodyTimeout + time.Duration(c.need/slowest)*time.Second
	case forRoom:
		d = o.WriteTimeout
	case forEnd:
		d = lingerTime
	}
	c.l.wheel.set(&c.timer, c.l.now+d)
}

// maxRounds is how often something is done for one connection before it is the turn
// of the others.
const maxRounds = 64

// lingerTime is how long a client may take to end a connection that is over. If it
// were closed at once, what the client still sends would make its kernel throw away
// the answer that it has not read.
const lingerTime = time.Second

func (c *client) ready(events uint32) {
	c.seen(events)
	if c.writable && c.out.pending() && !c.drain() {
		return
	}
	c.resume()
}

// resume goes on with whatever can be done.
func (c *client) resume() {
	c.queued = false
	if c.closed {
		return
	}
	switch c.phase {
	case reading:
		c.serve()
	case streaming:
		c.pump()
	case answering:
		if c.hup {
			c.gone()
		}
	case lingering:
		c.linger()
	}
}

// again has resume called in the next round.
func (c *client) again() {
	if !c.queued {
		c.queued = true
		c.l.later = append(c.l.later, c)
	}
}

// serve reads and starts requests until there is nothing more to do.
func (c *client) serve() {
	for round := 0; c.phase == reading && !c.closed; round++ {
		if round == maxRounds {
			c.again() // others are waiting
			break
		}
		if have := len(c.in.bytes()); have > 0 && have >= c.need && c.step() {
			continue
		}
		if c.phase != reading || c.closed || !c.fill() {
			break
		}
	}
	if c.closed {
		return
	}
	c.in.settle(&c.l.pool)
	switch {
	case c.phase == reading:
		c.awaitRequest()
	case c.phase == answering && c.hup:
		c.gone()
	}
}

// awaitRequest sets the timer for what a request lacks, once.
func (c *client) awaitRequest() {
	what := forHead
	switch {
	case c.need > 0:
		what = forBody
	case len(c.in.bytes()) > 0:
	case c.wait == forFirst:
		return
	default:
		what = forNext
	}
	if c.wait != what {
		c.await(what)
	}
}

// fill reads once. It returns false where nothing came.
func (c *client) fill() bool {
	if !c.readable {
		return false
	}
	// A long body's room grows as it comes, so that its announcement alone takes none.
	have := len(c.in.bytes())
	room := c.in.room(c.l, max(min(c.need, 2*have, have+readSize), have+smallestBuffer))
	if !c.reserve() {
		c.refuse(&refusal{503, "ServiceUnavailable", "The bodies of too many requests are in memory; try again."})
		return false
	}
	n, wait := c.read(room)
	if n > 0 {
		c.in.read(n)
		return true
	}
	if !wait {
		c.close()
	}
	return false
}

// step looks at the beginning of a request. It returns false where more bytes are
// needed.
func (c *client) step() bool {
	head := &c.l.head
	data := c.in.bytes()
	if c.need > 0 {
		head.parse(data[:c.headLen]) // as before, when the body was not there
		c.start(head, data[c.headLen:c.need], true)
		return true
	}
	n, state := head.read(data, &c.lines)
	switch state {
	case partial:
		return false
	case elsewhere:
		c.handOver()
		return true
	case refused:
		c.refuse(head.fault)
		return true
	}
	c.lines = lineReader{}
	intake := c.l.handler.Takes(&head.Head)
	if !intake.Taken {
		c.handOver()
		return true
	}
	return c.admit(head, n, intake)
}

// admit decides how a request's body comes.
func (c *client) admit(head *headReader, n int, intake Intake) bool {
	length := head.ContentLength
	if length > intake.MaxBody {
		c.refuse(tooLarge(intake.MaxBody))
		return true
	}
	data := c.in.bytes()
	c.headLen = n
	switch have := int64(len(data) - n); {
	case have >= length:
		c.need = n + int(length)
		c.start(head, data[n:c.need], true)
	case intake.Whole || length <= inline:
		c.need = n + int(length)
		return false
	default:
		c.need = n + int(length)
		c.start(head, nil, false)
	}
	return true
}

// start asks where the request goes.
func (c *client) start(head *headReader, body []byte, whole bool) {
	l := c.l
	c.last = head.close || l.stopping
	c.call.begin()
	l.request = Request{Head: head.Head, Body: body, Whole: whole}
	switch l.handler.Route(&l.request, &c.call.target, &c.call.answer) {
	case Reply:
		c.reply()
	case Elsewhere:
		c.handOver()
	default:
		c.forward(body, whole)
	}
	l.request = Request{}
}

// reserve counts a large buffer against what all of them may take.
func (c *client) reserve() bool {
	more := int64(cap(c.in.buf)) - c.reserved
	if c.in.borrowed || cap(c.in.buf) <= 2*inline || more <= 0 {
		return true
	}
	if c.l.front.reserved.Add(more) > c.l.front.options.MaxBuffered {
		c.l.front.reserved.Add(-more)
		return false
	}
	c.reserved += more
	return true
}

func (c *client) unreserve() {
	if c.reserved > 0 {
		c.l.front.reserved.Add(-c.reserved)
		c.reserved = 0
	}
}

// refuse answers a request that is none of the Handler's, and ends the connection.
func (c *client) refuse(r *refusal) {
	c.call.begin()
	c.call.answer.Error(r.status, r.code, r.message)
	c.last = true
	c.in.take(len(c.in.bytes()))
	c.reply()
}

// reply sends call.answer.
func (c *client) reply() {
	call := &c.call
	a := &call.answer
	if c.phase == streaming || !call.taken && c.need > len(c.in.bytes()) {
		c.last = true // the rest of the request is not read
	}
	b := appendStatus(c.l.scratch[:0], a.Status)
	b = append(b, c.l.date.at(c.l.front.begun.Add(c.l.now))...)
	b = append(b, a.Fields...)
	b = append(b, call.target.Extra...)
	b = appendLength(b, int64(len(a.Body)))
	b = appendEnd(b, c.last)
	b = append(b, a.Body...)
	c.l.scratch = b[:0]
	if !c.send(false, b) {
		c.close()
		return
	}
	c.finished()
}

// finished is called when the whole answer has been given to the socket.
func (c *client) finished() {
	c.consume()
	c.call.end(c)
	if c.out.pending() {
		c.phase = flushing
		c.await(forRoom)
		return
	}
	c.next()
}

// consume takes the request out of what has been read, and gives its memory back.
func (c *client) consume() {
	if c.need == 0 {
		return
	}
	if !c.call.taken {
		c.in.take(min(c.need, len(c.in.bytes())))
	}
	c.unreserve()
	c.headLen, c.need = 0, 0
}

// next turns to the next request.
func (c *client) next() {
	if c.last || c.l.stopping {
		c.phase = lingering
		c.in.take(len(c.in.bytes()))
		c.in.settle(&c.l.pool)
		unix.Shutdown(c.fd, unix.SHUT_WR)
		c.await(forEnd)
		c.linger()
		return
	}
	c.phase = reading
	if c.readable || len(c.in.bytes()) > 0 {
		c.wait = forNothing
		c.again()
		return
	}
	c.await(forNext)
}

// linger throws away what comes until the client ends the connection.
func (c *client) linger() {
	for range 16 {
		if !c.readable {
			return
		}
		n, wait := c.read(c.l.buf)
		if wait {
			return
		}
		if n == 0 {
			c.close()
			return
		}
	}
	c.again()
}

// drain writes what is pending. It returns false where the connection has ended.
func (c *client) drain() bool {
	if !c.flush() {
		c.gone()
		return false
	}
	switch {
	case c.out.pending():
		c.await(forRoom)
	case c.phase == flushing:
		c.next()
	case c.phase == streaming:
		c.await(forBody)
	case c.phase == answering:
		c.await(forNothing)
		if c.call.up != nil {
			c.call.up.again()
		}
	}
	return true
}

// expire is called when the timer is due.
func (c *client) expire() {
	switch c.wait {
	case forHead, forBody:
		if c.phase == streaming {
			c.giveUp(ClientGone)
		} else {
			c.refuse(&refusal{408, "RequestTimeout", "The request did not come within its time."})
		}
	case forRoom:
		c.gone()
	default:
		c.close()
	}
}

// gone ends everything: the client went away.
func (c *client) gone() { c.giveUp(ClientGone) }

// abort ends everything: front does not wait any longer.
func (c *client) abort() { c.giveUp(Stopped) }

func (c *client) giveUp(why Failure) {
	if c.call.forwarded {
		c.call.fail(c, why, true)
	}
	c.close()
}

// wrapUp makes the request that is under way the last one.
func (c *client) wrapUp() {
	if c.phase == reading && len(c.in.bytes()) == 0 && !c.readable {
		c.close()
		return
	}
	c.last = true
}

// close ends the connection at once. It may be called twice.
func (c *client) close() {
	if c.closed {
		return
	}
	c.call.end(c)
	c.unreserve()
	if !c.in.borrowed {
		c.l.pool.put(c.in.buf)
	}
	c.in = inbox{}
	c.end()
	c.l.clients--
	c.l.front.clients.Add(-1)
}

// handOver gives the connection to net/http, with what has been read of the request
// and behind it.
func (c *client) handOver() {
	prefix := append([]byte(nil), c.in.bytes()...)
	c.call.end(c)
	c.unreserve()
	unix.EpollCtl(c.l.epoll, unix.EPOLL_CTL_DEL, c.fd, nil)
	if !c.in.borrowed {
		c.l.pool.put(c.in.buf)
	}
	c.in = inbox{}
	c.closed = true
	c.leave()
	c.l.clients--
	c.l.front.clients.Add(-1)
	c.l.front.handOver(c.fd, prefix)
}
