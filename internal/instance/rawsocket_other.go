//go:build !linux && !darwin

package instance

import "net"

// rawSocket is the fast path, which needs the system calls of Unix.
type rawSocket struct{}

func newRawSocket(net.Conn) *rawSocket { return nil }

func (*rawSocket) quiet() bool { return true }

func (*rawSocket) exchange(*link, message) error { panic("instance: no raw sockets here") }
