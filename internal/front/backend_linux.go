package front

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// backend is the connections of a loop to one address.
type backend struct {
	addr netip.AddrPort
	idle []*upstream // the last one used is the next one used
	open int
	gone bool // the address was drained: its connections are not used again
}

// backend finds the connections to an address.
func (l *loop) backend(addr netip.AddrPort) *backend {
	b := l.backends[addr]
	if b == nil {
		b = &backend{addr: addr}
		l.backends[addr] = b
	}
	return b
}

// drainBackend closes what is idle of an address, and the others when their calls
// are over. A connection to it that is wanted later is a new one.
func (l *loop) drainBackend(addr netip.AddrPort) {
	b := l.backends[addr]
	if b == nil {
		return
	}
	b.gone = true
	delete(l.backends, addr)
	for len(b.idle) > 0 {
		b.idle[len(b.idle)-1].close()
	}
}

// connection takes an idle connection, or begins a new one.
func (b *backend) connection(l *loop) (*upstream, Failure) {
	for len(b.idle) > 0 {
		u := b.idle[len(b.idle)-1]
		b.idle = b.idle[:len(b.idle)-1]
		u.idle = false
		if u.hup || u.readable {
			u.close() // it ended, or spoke without being asked, in this round
			continue
		}
		u.reused = true
		return u, None
	}
	return b.begin(l)
}

// begin begins a new connection.
func (b *backend) begin(l *loop) (*upstream, Failure) {
	if b.open >= l.front.options.MaxConnections {
		return nil, Saturated
	}
	fd, err := sysConnect(b.addr)
	if err != nil {
		return nil, Refused
	}
	u := &upstream{socket: socket{l: l, fd: fd}, backend: b, connecting: true}
	u.timer.owner = u
	b.open++
	if !b.gone {
		l.backends[b.addr] = b // it was forgotten when its last connection closed
	}
	if l.place(&u.socket, u) != nil {
		u.close()
		return nil, Refused
	}
	l.wheel.set(&u.timer, l.now+connectTime)
	return u, None
}

// upstream is a connection to a container: one call at a time.
type upstream struct {
	socket
	backend    *backend
	client     *client // whose call it is; nil when it is idle or over
	connecting bool
	reused     bool // it has answered before
	idle       bool
	before     int64 // socket.sent when the call began
	relay      relay
}

func (u *upstream) ready(events uint32) {
	u.seen(events)
	if u.client == nil {
		if u.idle && u.readable {
			u.close() // it ended, or it speaks without being asked
		}
		return
	}
	if u.connecting {
		u.connected()
		return
	}
	if u.writable && u.out.pending() {
		if !u.flush() {
			u.broken()
			return
		}
		if !u.out.pending() && u.client.phase == streaming {
			u.client.again()
		}
	}
	u.resume()
}

// resume reads on.
func (u *upstream) resume() {
	u.queued = false
	if !u.closed && u.client != nil && !u.connecting {
		u.read()
	}
}

// again has resume called in the next round.
func (u *upstream) again() {
	if !u.queued {
		u.queued = true
		u.l.later = append(u.l.later, u)
	}
}

// connected is called when the connection is there, or has failed.
func (u *upstream) connected() {
	if !u.writable && !u.hup {
		return
	}
	code, err := unix.GetsockoptInt(u.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil || code != 0 {
		c := u.client
		c.call.fail(c, Refused, false)
		return
	}
	u.connecting = false
	u.request()
}

// request sends the client's request.
func (u *upstream) request() {
	c := u.client
	k := &c.call
	u.before = u.sent
	u.relay.begin()
	var ok bool
	if len(k.body) == 0 {
		ok = u.send(true, k.req)
	} else {
		ok = u.send(true, k.req, k.body)
	}
	switch {
	case !ok:
		u.broken()
	case c.phase == streaming:
		c.pump()
	default:
		k.outcome.Sent = int64(c.need - c.headLen)
		c.requested()
	}
}

// broken is called when the container takes no more: it may have answered before
// the request was complete.
func (u *upstream) broken() {
	u.drop()
	u.readable, u.hup = true, true
	u.again()
}

// lost is called when the connection ended before the answer did.
func (u *upstream) lost() {
	c := u.client
	k := &c.call
	if u.relay.silent() && u.unseen() && !k.streamed && k.tries < maxTries {
		// The container closed an idle connection while the request was on its way.
		k.tries++
		k.up, u.client = nil, nil
		u.close()
		fresh, why := u.backend.begin(c.l)
		if fresh == nil {
			k.fail(c, why, false)
			return
		}
		k.up, fresh.client = fresh, c
		return
	}
	k.fail(c, Reset, false)
}

// unseen reports whether the container cannot have read any of the request: its
// kernel has acknowledged none of it. One more is counted for the connection's
// beginning.
func (u *upstream) unseen() bool {
	acked, ok := acknowledged(u.fd)
	return u.reused && ok && acked <= u.before+1
}

// expire is called when a connection does not come, an answer takes too long, or
// nobody wants the connection.
func (u *upstream) expire() {
	c := u.client
	switch {
	case c == nil:
		u.close()
	case u.connecting:
		c.call.fail(c, Refused, false)
	case c.out.pending():
		u.l.wheel.set(&u.timer, u.l.now+time.Second) // it is the client who is slow
	default:
		c.call.fail(c, TimedOut, false)
	}
}

// abort is called when the loop ends.
func (u *upstream) abort() {
	if u.client == nil {
		u.close()
	}
}

// rest puts the connection back for another call.
func (u *upstream) rest() {
	b := u.backend
	u.client = nil
	u.relay.end(&u.l.pool)
	if b.gone || u.hup || u.readable || u.out.pending() || u.l.stopping || len(b.idle) >= u.l.front.options.MaxIdle {
		u.close()
		return
	}
	u.idle = true
	b.idle = append(b.idle, u)
	u.l.wheel.set(&u.timer, u.l.now+idleTime)
}

// close ends the connection. It may be called twice.
func (u *upstream) close() {
	if u.closed {
		return
	}
	b := u.backend
	b.open--
	if u.idle {
		for i, o := range b.idle {
			if o == u {
				b.idle = append(b.idle[:i], b.idle[i+1:]...)
				break
			}
		}
	}
	if b.open == 0 && u.l.backends[b.addr] == b {
		delete(u.l.backends, b.addr)
	}
	u.relay.end(&u.l.pool)
	u.end()
}
