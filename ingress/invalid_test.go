package ingress

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/muster/muster/ingress/namespace"
)

// TestInvalid: a segment far outside of a connection's window, as old ones that come late are, is
// no packet of it to the kernel's connection tracking, so its addresses are not translated.
// Whoever gets it does not know it, and would reset the connection.
func TestInvalid(t *testing.T) {
	l := newLab(t, 3, false)
	l.apply()
	a, b := l.task(1, "a"), l.task(2, "b")
	l.publish(8001, a)
	l.apply()
	tests := map[string]struct {
		client  string
		by      string // namespace of who sends it
		reply   bool
		liberal bool // the task's node lets it pass
	}{
		"of a reply, for another node":             {client: l.nodes[2].netns, by: l.of(a), reply: true},
		"of a reply, for a task":                   {client: l.of(b), by: l.of(a), reply: true},
		"of a reply, for the task's own node":      {client: l.nodes[1].netns, by: l.of(a), reply: true},
		"of a reply, beyond the called node":       {client: l.nodes[2].netns, by: l.of(a), reply: true, liberal: true},
		"of a reply, beyond it to a task":          {client: l.of(b), by: l.of(a), reply: true, liberal: true},
		"of a reply, for a process of that node":   {client: l.nodes[0].netns, by: l.of(a), reply: true, liberal: true},
		"of a request, to the node that is called": {client: l.client, by: l.client},
		"of a request of a task":                   {client: l.of(b), by: l.of(b)},
	}
	for name, tt := range tests {
		for i, called := range []netip.Addr{l.addr4(101), l.addr6(101)} {
			t.Run(fmt.Sprint(name, ", through ", called), func(t *testing.T) {
				called, server := netip.AddrPortFrom(called, 8001), netip.AddrPortFrom(a.addrs()[i], 80)
				liberal := map[bool]string{true: "1", false: "0"}[tt.liberal]
				l.in(l.nodes[1].netns, "sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_be_liberal="+liberal)
				c, err := l.dial(tt.client, "tcp", called.String())
				if err != nil {
					t.Fatal(err)
				}
				answer, err := l.ask(c)
				if err != nil {
					t.Fatal(err)
				}
				_, from, _ := strings.Cut(answer, " saw ")
				local := netip.MustParseAddrPort(c.LocalAddr().String())
				client := netip.AddrPortFrom(netip.MustParseAddr(from), local.Port()) // as the task sees it
				next, awaited := sequences(t, c)
				const beyond = 1 << 30
				s := segment{local, called, next + beyond, awaited}
				if tt.reply {
					s = segment{server, client, awaited + beyond, next}
				}
				if err := namespace.In(tt.by, s.send); err != nil {
					t.Fatal(err)
				}
				if _, err := l.ask(c); err != nil {
					t.Errorf("the connection: %v", err)
				}
			})
		}
	}
}

// TestInvalidOfTheHost: what is out of the window of a connection of the host itself is left to it.
func TestInvalidOfTheHost(t *testing.T) {
	l := newLab(t, 1, false)
	l.apply()
	l.publish(8001, l.task(0, "a"))
	l.apply()
	l.serve(l.nodes[0].netns, "host")
	for port, want := range map[string]string{"80": "counter packets 0", "8001": "counter packets 1"} {
		called := netip.MustParseAddrPort("10.77.0.101:" + port)
		c, err := l.dial(l.client, "tcp4", called.String())
		if err != nil {
			t.Fatal(err)
		}
		next, awaited := sequences(t, c)
		s := segment{netip.MustParseAddrPort(c.LocalAddr().String()), called, next + 1<<30, awaited}
		if err := namespace.In(l.client, s.send); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(l.in(l.nodes[0].netns, "nft", "list chain ip muster input")) {
			if strings.Contains(line, "window, to a published port") && !strings.Contains(line, want) {
				t.Errorf("a late segment to port %s: %q, want %s", port, line, want)
			}
		}
		l.in(l.nodes[0].netns, "nft", "delete", "table", "ip", "muster")
		l.applyNode(0, true) // counts from 0 again
	}
	l.in(l.nodes[0].netns, "sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_loose=0")
	l.applyNode(0, true)
	if rules := l.in(l.nodes[0].netns, "nft", "list chain ip muster input"); strings.Contains(rules, "window, to a published port") {
		t.Errorf("what is amid an unknown connection is not reset:\n%s", rules)
	}
}

// sequences are the numbers of what a connection sends next and of what it awaits.
func sequences(t *testing.T, c net.Conn) (next, awaited uint32) {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	of := func(fd uintptr, queue int) uint32 {
		if failed == nil {
			failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_REPAIR_QUEUE, queue)
		}
		n, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUEUE_SEQ)
		if failed == nil {
			failed = err
		}
		return uint32(n)
	}
	const (
		off, on        = -1, 1 // without a window probe
		receive, send_ = 1, 2
	)
	err = raw.Control(func(fd uintptr) {
		if failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_REPAIR, on); failed != nil {
			return
		}
		next, awaited = of(fd, send_), of(fd, receive)
		if err := unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_REPAIR, off); failed == nil {
			failed = err
		}
	})
	if err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	return next, awaited
}

// segment is one of TCP, an acknowledgement without data.
type segment struct {
	from, to netip.AddrPort
	seq, ack uint32
}

// send sends it from the network namespace of the calling thread.
func (s segment) send() error {
	const acknowledges, words, window = 0x10, 5, 1024
	b := binary.BigEndian.AppendUint16(nil, s.from.Port())
	b = binary.BigEndian.AppendUint16(b, s.to.Port())
	b = binary.BigEndian.AppendUint32(b, s.seq)
	b = binary.BigEndian.AppendUint32(b, s.ack)
	b = append(b, words<<4, acknowledges)
	b = binary.BigEndian.AppendUint16(b, window)
	b = append(b, 0, 0, 0, 0) // checksum, urgent pointer
	if s.from.Addr().Is6() {
		return s.send6(b)
	}
	binary.BigEndian.PutUint16(b[16:], s.checksum(b))
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_TCP)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: s.from.Addr().As4()}); err != nil {
		return err
	}
	return unix.Sendto(fd, b, 0, &unix.SockaddrInet4{Addr: s.to.Addr().As4()})
}

// send6 is send over IPv6, whose sockets write the checksum themselves.
func (s segment) send6(b []byte) error {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_TCP)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	const checksumAt = 16
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_CHECKSUM, checksumAt); err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet6{Addr: s.from.Addr().As16()}); err != nil {
		return err
	}
	return unix.Sendto(fd, b, 0, &unix.SockaddrInet6{Addr: s.to.Addr().As16()})
}

// checksum is that of RFC 9293, 3.1, over the header and what of IP counts.
func (s segment) checksum(header []byte) uint16 {
	from, to := s.from.Addr().As4(), s.to.Addr().As4()
	all := append(append(from[:], to[:]...), 0, unix.IPPROTO_TCP, 0, byte(len(header)))
	all = append(all, header...)
	var sum uint32
	for i := 0; i < len(all); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(all[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
