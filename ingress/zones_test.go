package ingress

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/ti-mo/conntrack"
	"golang.org/x/sys/unix"

	"github.com/muster/muster/ingress/namespace"
)

// dialFrom connects the client to port 8001 of node i from a source port that
// other connections may have too.
func (l *lab) dialFrom(source uint16, network string, i int) net.Conn {
	l.t.Helper()
	from, to := l.addr4(1), l.addr4(101+i)
	if strings.HasSuffix(network, "6") {
		from, to = l.addr6(1), l.addr6(101+i)
	}
	d := &net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		controlled := c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		})
		if controlled != nil {
			return controlled
		}
		return err
	}}
	local := netip.AddrPortFrom(from, source)
	if d.LocalAddr = net.Addr(net.TCPAddrFromAddrPort(local)); strings.HasPrefix(network, "udp") {
		d.LocalAddr = net.UDPAddrFromAddrPort(local)
	}
	c, err := l.dialBy(d, l.client, network, netip.AddrPortFrom(to, 8001).String())
	if err != nil {
		l.t.Fatalf("connect by node %d from port %d: %v", i+1, source, err)
	}
	return c
}

// askAll asks once on each connection, and expects the task to answer and to see the client.
func (l *lab) askAll(when string, conns []net.Conn) {
	l.t.Helper()
	for _, c := range conns {
		client := netip.MustParseAddrPort(c.LocalAddr().String()).Addr()
		if got, err := l.ask(c); err != nil || got != fmt.Sprintf("a saw %s", client) {
			l.t.Errorf("%s: by %s from %s: %q, %v", when, c.RemoteAddr(), c.LocalAddr(), got, err)
		}
	}
}

// flowsTo lists the flows of the node that lead to a task.
func (n *labNode) flowsTo(t testing.TB, task Task) (to []conntrack.Flow) {
	t.Helper()
	err := namespace.In(n.netns, func() error {
		c, err := conntrack.Dial(nil)
		if err != nil {
			return err
		}
		defer c.Close()
		flows, err := c.Dump(nil)
		for _, f := range flows {
			for _, a := range task.addrs() {
				if f.TupleReply.IP.SourceAddress == a {
					to = append(to, f)
				}
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// TestOneSourcePort opens connections from one source port through all nodes to one task, and has
// them go on through whatever is done to the node of the task.
func TestOneSourcePort(t *testing.T) {
	for name, v6 := range map[string]bool{"IPv4 underlay": false, "IPv6 underlay": true} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, 3, v6)
			l.apply()
			a := l.task(1, "a") // so that node 2 has packets of the client itself
			l.publish(8001, a)
			l.apply()
			var conns []net.Conn
			source := uint16(4000)
			for _, network := range []string{"tcp4", "udp4", "tcp6", "udp6"} {
				for _, order := range [][]int{{0, 1, 2}, {2, 0, 1}, {1, 2, 0}} {
					source++
					var some []net.Conn
					for _, i := range order {
						some = append(some, l.dialFrom(source, network, i))
						l.askAll("opened", some) // the new one, and those from before
					}
					conns = append(conns, some...)
				}
			}
			for _, f := range l.nodes[1].flowsTo(t, a) {
				if want := uint16(f.Mark) & 0xff; f.TupleOrig.Zone != want || f.TupleReply.Zone != 0 {
					t.Errorf("a flow from node %d is in zone %d, its replies in %d", want, f.TupleOrig.Zone, f.TupleReply.Zone)
				}
			}
			if n, err := l.nodes[1].plane.Connections(t.Context(), a.addrs()[:1]); err != nil || n != 9 {
				t.Errorf("%d connections lead to the task, %v, want 9", n, err)
			}

			l.applyNode(1, true)
			l.askAll("applied again", conns)
			l.publish(8002, a)
			l.apply()
			l.askAll("published another port", conns)
			l.in(l.nodes[1].netns, "nft", "add", "rule", "ip", "muster", "forward", "counter")
			l.in(l.nodes[1].netns, "nft", "add", "rule", "ip6", "muster", "forward", "counter")
			l.applyNode(1, true)
			l.askAll("replaced the tables of the mesh", conns)
			l.nodes[1].plane = New(l.nodes[1].plane.cfg)
			l.applyNode(1, false)
			l.askAll("restarted the daemon", conns)
			whole := l.nodes
			l.nodes = whole[:2]
			l.applyNode(1, false)
			l.nodes = whole
			l.applyNode(1, false)
			l.askAll("left a node out for a while", conns)
			if lines := l.diff(1); len(lines) > 0 {
				t.Errorf("the kernel differs: %q", lines)
			}
		})
	}
}

// askAgain has each client ask over its connection, by UDP up to three times:
// the kernel switches the chains of a new table on one after the other, so a
// datagram in between may be lost, and its sender sends it again.
func (l *lab) askAgain(conns []net.Conn) {
	l.t.Helper()
	for _, c := range conns {
		got, err := l.ask(c)
		for i := 0; i < 2 && err != nil && c.RemoteAddr().Network() == "udp"; i++ {
			got, err = l.ask(c)
		}
		client := netip.MustParseAddrPort(c.LocalAddr().String()).Addr()
		if err != nil || got != fmt.Sprintf("a saw %s", client) {
			l.t.Errorf("meanwhile: by %s from %s: %q, %v", c.RemoteAddr(), c.LocalAddr(), got, err)
		}
	}
}

// TestZoneKept replaces the tables of the mesh all the time while a client goes on asking.
func TestZoneKept(t *testing.T) {
	l := newLab(t, 3, false)
	l.apply()
	a := l.task(1, "a")
	l.publish(8001, a)
	l.apply()
	var conns []net.Conn
	for _, i := range []int{0, 2} {
		conns = append(conns, l.dialFrom(4001, "tcp4", i), l.dialFrom(4002, "udp6", i))
	}
	ctx, cancel := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	rounds := 0
	asking.Go(func() {
		for ; ctx.Err() == nil; rounds++ {
			l.askAgain(conns)
		}
	})
	for range 20 {
		l.in(l.nodes[1].netns, "nft", "add", "rule", "ip", "muster", "forward", "counter")
		l.in(l.nodes[1].netns, "nft", "add", "rule", "ip6", "muster", "forward", "counter")
		l.applyNode(1, true)
	}
	cancel()
	asking.Wait()
	if rounds == 0 {
		t.Error("nothing was asked meanwhile")
	}
	if flows := l.nodes[1].flowsTo(t, a); len(flows) != len(conns) {
		t.Errorf("%d flows lead to the task, want the %d that were opened: %v", len(flows), len(conns), flows)
	}
}

// TestStaleInZone: the flows of a task that is gone are cut in whichever zone they are.
func TestStaleInZone(t *testing.T) {
	l := newLab(t, 3, false)
	l.apply()
	a := l.task(1, "a")
	l.publish(8001, a)
	l.apply()
	var conns []net.Conn
	for _, network := range []string{"tcp4", "udp4", "tcp6", "udp6"} {
		for i := range l.nodes {
			conns = append(conns, l.dialFrom(4001, network, i))
		}
	}
	l.askAll("opened", conns)
	zones := make(map[uint16]int)
	for _, f := range l.nodes[1].flowsTo(t, a) {
		zones[f.TupleOrig.Zone]++
	}
	if zones[0] != 4 || zones[1] != 4 || zones[3] != 4 {
		t.Fatalf("flows by zone are %v, want four in each of 0, 1 and 3", zones)
	}
	l.nodes[1].tasks = nil
	l.ports = nil
	l.applyNode(1, false)
	if flows := l.nodes[1].flowsTo(t, a); len(flows) > 0 {
		t.Errorf("flows to a task that is gone are left: %v", flows)
	}
}

// TestNoZones: on a kernel without zones the mesh works as far as it can.
func TestNoZones(t *testing.T) {
	l := newLab(t, 2, false)
	for _, n := range l.nodes {
		n.plane.zoneless = true
	}
	l.apply()
	l.publish(8001, l.task(1, "a"))
	l.apply()
	if got, want := l.get(l.client, "tcp", "10.77.0.101:8001"), "a saw 10.77.0.1"; got != want {
		t.Errorf("without zones: %q, want %q", got, want)
	}
	if tables := l.in(l.nodes[1].netns, "nft", "list", "tables"); strings.Contains(tables, "zones") {
		t.Errorf("the tables are %s, want none of zones", tables)
	}
	if lines := l.diff(1); len(lines) > 0 {
		t.Errorf("the kernel differs: %q", lines)
	}
}
