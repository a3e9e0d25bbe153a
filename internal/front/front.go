// Package front is the hot path of InvokeEndpoint: event loops on the server's one
// port that pass invocations on to containers for less CPU time than a reverse
// proxy takes, and hand every other connection to net/http.
//
// A Front reads the heads of requests itself. What is plainly an invocation, and
// what its Handler takes, is answered in the loop: it is sent to the container that
// the Handler names, and the answer is passed on as it comes. Everything else (TLS,
// HTTP/2, HTTP/1.0, Expect, Upgrade, chunked requests, other paths) goes with its
// connection, and with the bytes that have been read, to the listener that Rest
// gives, for good. A client that ends its sending, if only that, is taken for gone,
// and its call is cancelled.
//
// Portable is the same over net/http. It serves the invocations on connections that
// went to net/http, and all of them where there are no loops: on other systems than
// Linux, and behind TLS. One suite of tests holds both to the same behaviour.
package front

import (
	"net"
	"runtime"
	"strconv"
	"time"
)

// Options are what a Front works with.
type Options struct {
	// Listener is the port. Front takes it over: Close closes it.
	Listener net.Listener
	Handler  Handler
	// Loops is how many event loops there are; 0 is GOMAXPROCS. The owner of the
	// process should raise GOMAXPROCS by as many once New has returned: a loop that
	// waits a moment for events then keeps its place in the scheduler, which otherwise
	// takes it away and starts a thread that looks in vain for something to do. It is
	// worth a tenth of the CPU time of an invocation.
	Loops int
	// HeadTimeout is how long the head of a request may take, from the connection's
	// beginning or its first byte; 0 is 10 s.
	HeadTimeout time.Duration
	// BodyTimeout is how long a body may take, and a second for each 64 KiB of it;
	// 0 is 30 s.
	BodyTimeout time.Duration
	// IdleTimeout is how long a connection may be without a request; 0 is 2 min.
	IdleTimeout time.Duration
	// WriteTimeout is how long a client may take nothing of its answer; 0 is 60 s.
	WriteTimeout time.Duration
	// MaxClients bounds the clients' connections in the loops; 0 is 65,536.
	MaxClients int
	// MaxConnections bounds the connections of a loop to one address; 0 is 1,024.
	MaxConnections int
	// MaxIdle bounds how many of those are kept for the next call; 0 is 256.
	MaxIdle int
	// MaxBuffered bounds the memory of the bodies that are longer than 64 KiB and wait
	// until they are whole; 0 is 512 MiB.
	MaxBuffered int64
}

func (o Options) withDefaults() Options {
	def := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	def(&o.HeadTimeout, 10*time.Second)
	def(&o.BodyTimeout, 30*time.Second)
	def(&o.IdleTimeout, 2*time.Minute)
	def(&o.WriteTimeout, time.Minute)
	if o.Loops == 0 {
		o.Loops = runtime.GOMAXPROCS(0)
	}
	if o.MaxClients == 0 {
		o.MaxClients = 1 << 16
	}
	if o.MaxConnections == 0 {
		o.MaxConnections = 1024
	}
	if o.MaxIdle == 0 {
		o.MaxIdle = 256
	}
	if o.MaxBuffered == 0 {
		o.MaxBuffered = 512 << 20
	}
	return o
}

// tooLarge is the refusal of a body (RT-8).
func tooLarge(limit int64) *refusal {
	return &refusal{413, "413", "HTTP content length exceeded " + strconv.FormatInt(limit, 10) + " bytes."}
}

// Bodies up to inline bytes are copied behind the head that the container gets, and
// always waited for. Longer ones stay where they are, or go on as they come.
const inline = 32 << 10

// slowest is how slow a body may come, in bytes a second, before it is cut off.
const slowest = 64 << 10

// maxTries bounds the addresses that one request is sent to.
const maxTries = 4
