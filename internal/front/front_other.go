//go:build !linux

package front

import (
	"context"
	"net"
	"net/netip"
)

// Front has no loops on this system: every connection is for net/http.
type Front struct{ listener net.Listener }

// New begins to serve.
func New(o Options) (*Front, error) { return &Front{listener: o.Listener}, nil }

// Rest is the listener of the connections that are for net/http: all of them.
func (f *Front) Rest() net.Listener { return f.listener }

// Drain does nothing: the connections to containers are net/http's.
func (f *Front) Drain(netip.AddrPort) {}

// Close stops accepting.
func (f *Front) Close(context.Context) error { return f.listener.Close() }
