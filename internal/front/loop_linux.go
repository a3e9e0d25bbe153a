package front

import (
	"net/netip"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// loop serves its connections on one thread. Everything in it belongs to that
// thread, except what is behind mu.
type loop struct {
	front    *Front
	handler  Handler
	epoll    int
	bell     int // an eventfd that wakes the loop
	listener int // the listening socket, on the first loop; -1 on the others
	events   [128]unix.EpollEvent

	slots    []slot
	vacant   []int
	clients  int
	backends map[netip.AddrPort]*backend
	later    []conn // what goes on in the next round, without an event
	doing    []conn
	stopping bool

	wheel wheel
	now   time.Duration // since front.begun, of this round
	date  date
	pool  buffers

	// What one event needs, and no longer than it lasts.
	buf     []byte
	scratch []byte
	head    headReader
	request Request
	answer  answerHead
	iov     [4]unix.Iovec
	parts   [4][]byte
	tail    [8]byte

	mu    sync.Mutex
	tasks []func()
	ended bool
}

// conn is a connection as the loop sees it.
type conn interface {
	ready(events uint32) // epoll says something
	resume()             // it was put on loop.later
	abort()              // front does not wait any longer
}

// slot is a place for a connection; its turn tells an old event of the place from
// one of the connection that is there now.
type slot struct {
	conn conn
	turn uint32
}

// Slots of what is no connection.
const (
	bellSlot     = -1
	listenerSlot = -2
)

const (
	readSize  = 256 << 10 // what is read of an answer, or of a long body, at once
	firstRead = 32 << 10  // what is read of a request at once
)

func newLoop(f *Front) (*loop, error) {
	l := &loop{
		front: f, handler: f.options.Handler, listener: -1,
		backends: make(map[netip.AddrPort]*backend),
		buf:      make([]byte, readSize), scratch: make([]byte, 0, 16<<10),
	}
	var err error
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	if l.bell, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		unix.Close(l.epoll)
		return nil, err
	}
	if err = l.watch(l.bell, unix.EPOLLIN, bellSlot, 0); err != nil {
		l.release()
		return nil, err
	}
	return l, nil
}

// release closes what newLoop opened.
func (l *loop) release() {
	unix.Close(l.epoll)
	unix.Close(l.bell)
	if l.listener >= 0 {
		unix.Close(l.listener)
	}
}

func (l *loop) watch(fd int, events uint32, slot int, turn uint32) error {
	return unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: int32(slot), Pad: int32(turn)})
}

// place gives a connection a slot and watches it.
func (l *loop) place(s *socket, c conn) error {
	if n := len(l.vacant); n > 0 {
		s.slot = l.vacant[n-1]
		l.vacant = l.vacant[:n-1]
	} else {
		s.slot = len(l.slots)
		l.slots = append(l.slots, slot{})
	}
	at := &l.slots[s.slot]
	at.conn = c
	at.turn++
	return l.watch(s.fd, unix.EPOLLIN|unix.EPOLLOUT|unix.EPOLLRDHUP|unix.EPOLLET, s.slot, at.turn)
}

// run serves until the front is closed and no client is left.
func (l *loop) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	l.tick()
	for !l.stopping || l.clients > 0 {
		n := l.wait()
		l.tick()
		for i := range n {
			l.dispatch(&l.events[i])
		}
		l.doing, l.later = l.later, l.doing[:0]
		for i, c := range l.doing {
			c.resume()
			l.doing[i] = nil
		}
		l.wheel.turn(l.now)
	}
	l.finish()
}

// wait waits for events. While the last look found some, the next look does not
// trouble the scheduler.
func (l *loop) wait() int {
	if n := sysPoll(l.epoll, l.events[:]); n > 0 || len(l.later) > 0 {
		return n
	}
	timeout := -1
	if d := l.wheel.wait(l.now); d >= 0 {
		timeout = int((d + time.Millisecond - 1) / time.Millisecond)
	}
	return sysWait(l.epoll, l.events[:], timeout)
}

func (l *loop) tick() { l.now = l.clock() }

// clock is the time since the front began. It is never 0.
func (l *loop) clock() time.Duration { return time.Since(l.front.begun) + 1 }

func (l *loop) dispatch(e *unix.EpollEvent) {
	switch slot := int(e.Fd); slot {
	case bellSlot:
		l.answerBell()
	case listenerSlot:
		l.accept()
	default:
		if at := &l.slots[slot]; at.conn != nil && at.turn == uint32(e.Pad) {
			at.conn.ready(e.Events)
		}
	}
}

// post has a task done on the loop's thread. It reports false where the loop has
// ended, and the task will not be done.
func (l *loop) post(task func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return false
	}
	l.tasks = append(l.tasks, task)
	one := [8]byte{1} // any number but 0
	sysWrite(l.bell, one[:])
	return true
}

func (l *loop) answerBell() {
	var count [8]byte
	sysRead(l.bell, count[:])
	l.mu.Lock()
	tasks := l.tasks
	l.tasks = nil
	l.mu.Unlock()
	for _, task := range tasks {
		task()
	}
}

// accept takes connections and deals them out in turn.
func (l *loop) accept() {
	for range 64 {
		fd, _, err := unix.Accept4(l.listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch err {
		case nil:
			l.front.deal(fd)
		case unix.EINTR, unix.ECONNABORTED:
		case unix.EAGAIN:
			return
		default: // there are no descriptors or no memory left: not for ever, it is hoped
			l.pauseAccepting()
			return
		}
	}
}

// acceptPause is how long nothing is accepted when descriptors are used up.
const acceptPause = 100 * time.Millisecond

// pauseAccepting lets the listener's queue wait.
func (l *loop) pauseAccepting() {
	unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, l.listener, nil)
	p := &pause{l: l}
	p.timer.owner = p
	l.wheel.set(&p.timer, l.now+acceptPause)
}

// pause begins to accept again.
type pause struct {
	l     *loop
	timer timer
}

func (p *pause) expire() {
	if p.l.listener >= 0 && p.l.watch(p.l.listener, unix.EPOLLIN, listenerSlot, 0) != nil {
		p.l.wheel.set(&p.timer, p.l.now+acceptPause)
	}
}

// adopt serves a new client.
func (l *loop) adopt(fd int) {
	c := &client{socket: socket{l: l, fd: fd}}
	c.timer.owner = c
	l.clients++
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if l.place(&c.socket, c) != nil || l.stopping {
		c.close()
		return
	}
	c.await(forFirst)
}

// stop accepts nothing more and ends what is idle.
func (l *loop) stop() {
	l.stopping = true
	if l.listener >= 0 {
		unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, l.listener, nil)
		unix.Close(l.listener)
		l.listener = -1
	}
	for _, s := range l.slots {
		if c, ok := s.conn.(*client); ok {
			c.wrapUp()
		}
	}
}

// abort ends every client.
func (l *loop) abort() {
	for _, s := range l.slots {
		if s.conn != nil {
			s.conn.abort()
		}
	}
}

// finish releases everything; no client is left.
func (l *loop) finish() {
	for _, s := range l.slots {
		if s.conn != nil {
			s.conn.abort()
		}
	}
	l.mu.Lock()
	l.ended = true
	tasks := l.tasks
	l.tasks = nil
	l.mu.Unlock()
	for _, task := range tasks {
		task() // adoptions close what they adopt
	}
	l.release()
}
