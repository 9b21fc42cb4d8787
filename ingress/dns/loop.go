package dns

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// burst is how many packets of one client are answered before the others have
// their turn.
const burst = 16

// loop answers at all doors, on one thread: a goroutine and a buffer for each of
// thousands of sockets would cost more memory than all else.
type loop struct {
	resolver *resolver
	epoll    int
	event    int // wakes the loop when it should end
	buf      []byte

	mu    sync.RWMutex
	doors map[int32]*door // by each of their sockets

	streams streams
}

func newLoop(r *resolver) (*loop, error) {
	l := &loop{resolver: r, epoll: -1, event: -1, buf: make([]byte, 64<<10), doors: make(map[int32]*door)}
	l.streams.resolver = r
	var err error
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("make epoll: %w", err)
	}
	if l.event, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, errors.Join(fmt.Errorf("make eventfd: %w", err), l.close())
	}
	if err := l.watch(l.event); err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

func (l *loop) watch(fd int) error {
	err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
	if err != nil {
		return fmt.Errorf("watch socket: %w", err)
	}
	return nil
}

// add begins to answer at a door, remove ends it. A socket that is closed is not
// watched any more.
func (l *loop) add(d *door) error {
	l.mu.Lock()
	l.doors[int32(d.udp)], l.doors[int32(d.tcp)] = d, d
	l.mu.Unlock()
	return errors.Join(l.watch(d.udp), l.watch(d.tcp))
}

func (l *loop) remove(d *door) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, fd := range []int{d.udp, d.tcp} {
		if l.doors[int32(fd)] == d {
			delete(l.doors, int32(fd))
		}
	}
}

// run answers until stop is called.
func (l *loop) run() error {
	events := make([]unix.EpollEvent, 128)
	for {
		n, err := unix.EpollWait(l.epoll, events, -1)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("wait for questions: %w", err)
		}
		for _, e := range events[:n] {
			if e.Fd == int32(l.event) {
				return nil
			}
			l.mu.RLock()
			d := l.doors[e.Fd]
			l.mu.RUnlock()
			switch {
			case d == nil:
			case e.Fd == int32(d.tcp):
				l.accept(d)
			default:
				l.packets(d, burst)
			}
		}
	}
}

// packets answers up to n packets at a door, and reports whether there were as many.
func (l *loop) packets(d *door, n int) bool {
	for range n {
		packet, from := d.receive(l.buf)
		if from == nil {
			return false
		}
		l.resolver.answer(d.client, packet, false, func(raw []byte) { d.send(raw, from) })
	}
	return true
}

// accept takes up a connection; one too many is closed at once.
func (l *loop) accept(d *door) bool {
	conn := d.accept()
	if conn == nil {
		return false
	}
	l.streams.serve(d, conn)
	return true
}

// drain answers what waits at a door, once the loop has ended.
func (l *loop) drain(d *door) {
	for l.accept(d) {
	}
	for l.packets(d, burst) {
	}
}

// stop ends run.
func (l *loop) stop() {
	_, _ = unix.Write(l.event, []byte{1, 0, 0, 0, 0, 0, 0, 0})
}

func (l *loop) close() error {
	var errs []error
	for _, fd := range []int{l.epoll, l.event} {
		if fd >= 0 {
			errs = append(errs, unix.Close(fd))
		}
	}
	return errors.Join(errs...)
}
