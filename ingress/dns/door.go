package dns

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Where tasks ask, and where the resolver listens in each task's network
// namespace. It is not the port that tasks ask at: a task that serves DNS itself
// may take that on all addresses (see redirect.go). The port is outside of those
// that Linux gives to whoever asks for any.
const (
	askedPort    = 53
	listenedPort = 61053
)

var listenedAddr = [4]byte{127, 0, 0, 11} //nolint:gochecknoglobals // a constant

// maxConns is how many connections one client may have, and all together maxAllConns.
const (
	maxConns    = 32
	maxAllConns = 1000
	backlog     = 128
)

// door is where one client asks: two sockets in its network namespace.
type door struct {
	client string
	netns  string
	// room is the namespace that the sockets are in. Another one may come to have
	// the same path.
	room roomID

	mu       sync.RWMutex
	closed   bool
	udp, tcp int
	conns    map[net.Conn]bool
}

// roomID tells network namespaces apart.
type roomID struct{ dev, ino uint64 }

// roomAt is the namespace at path.
func roomAt(path string) (roomID, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return roomID{}, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return roomID{st.Dev, st.Ino}, nil
}

// in calls f in the door's network namespace, on the thread of enter.
func (d *door) in(enter func(string) error, f func() error) error {
	if err := enter(d.netns); err != nil {
		return err
	}
	return f()
}

// open makes the sockets, in the network namespace of the calling thread. They
// take over from those of another resolver if it succeeds one.
func (d *door) open(succeeds bool) (err error) {
	d.udp, d.tcp = -1, -1
	defer func() {
		if err != nil {
			d.close()
			err = fmt.Errorf("listen in network namespace %s: %w", d.netns, err)
		}
	}()
	if d.udp, err = bound(unix.SOCK_DGRAM); err != nil {
		return fmt.Errorf("udp: %w", err)
	}
	if d.tcp, err = bound(unix.SOCK_STREAM); err != nil {
		return fmt.Errorf("tcp: %w", err)
	}
	if err := unix.Listen(d.tcp, backlog); err != nil {
		return fmt.Errorf("tcp: %w", err)
	}
	if !succeeds {
		return nil
	}
	return errors.Join(steer(d.udp), steer(d.tcp))
}

// bound makes a socket that is bound to our address, beside one that another
// resolver has there: the next one listens before this one stops.
func bound(kind int) (fd int, err error) {
	fd, err = unix.Socket(unix.AF_INET, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	options := []struct{ level, name int }{
		{unix.SOL_SOCKET, unix.SO_REUSEPORT},
		{unix.SOL_IP, unix.IP_FREEBIND}, // the loopback device may not be up yet
	}
	if kind == unix.SOCK_STREAM {
		options = append(options, struct{ level, name int }{unix.SOL_SOCKET, unix.SO_REUSEADDR})
	}
	for _, o := range options {
		if err == nil {
			err = unix.SetsockoptInt(fd, o.level, o.name, 1)
		}
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrInet4{Addr: listenedAddr, Port: listenedPort})
	}
	if err != nil {
		return -1, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

// steer has the second of two sockets that share an address take all that comes:
// the first is that of the resolver to be replaced, which reads what it has and
// goes. A socket that is alone takes all in any case.
func steer(fd int) error {
	program := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 1}}
	err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF,
		&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
	if err != nil {
		return fmt.Errorf("take over what comes: %w", err)
	}
	return nil
}

// receive reads one packet; nil where there is none.
func (d *door) receive(buf []byte) (packet []byte, from unix.Sockaddr) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.closed {
		return nil, nil
	}
	for {
		n, from, err := unix.Recvfrom(d.udp, buf, unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.ECONNREFUSED) {
			continue // the latter is about an answer that nobody waited for
		}
		if err != nil {
			return nil, nil
		}
		return buf[:n:n], from
	}
}

// send sends one packet, if its client takes it now.
func (d *door) send(packet []byte, to unix.Sockaddr) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if !d.closed && packet != nil {
		_ = unix.Sendto(d.udp, packet, unix.MSG_DONTWAIT, to)
	}
}

// accept returns the next connection, or nil.
func (d *door) accept() net.Conn {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	for {
		fd, _, err := unix.Accept4(d.tcp, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.ECONNABORTED) {
			continue
		}
		if err != nil {
			return nil
		}
		file := os.NewFile(uintptr(fd), "client")
		conn, err := net.FileConn(file)
		_ = file.Close()
		if err != nil {
			continue
		}
		if d.conns == nil {
			d.conns = make(map[net.Conn]bool)
		}
		d.conns[conn] = true
		return conn
	}
}

func (d *door) forget(conn net.Conn) {
	_ = conn.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.conns, conn)
}

func (d *door) busy() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return len(d.conns)
}

// hurry has connections end soon.
func (d *door) hurry() {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for conn := range d.conns {
		_ = conn.SetDeadline(time.Now().Add(lastWords))
	}
}

// close closes the sockets, which lets the namespace end.
func (d *door) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	d.closed = true
	for _, fd := range []int{d.udp, d.tcp} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
	for conn := range d.conns {
		_ = conn.Close()
	}
}
