package ingress

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/muster/muster/ingress/namespace"
)

// node applies what the lab wants of node i.
func (l *lab) applyNode(i int, full bool) {
	l.t.Helper()
	n := l.nodes[i]
	n.plane.Set(l.want(i))
	if err := n.plane.apply(l.t.Context(), full); err != nil {
		l.t.Fatalf("apply on node %s: %v", n.ID, err)
	}
}

func (l *lab) diff(i int) []string {
	l.t.Helper()
	lines, err := l.nodes[i].plane.Diff(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	return lines
}

func TestHostMode(t *testing.T) {
	l := newLab(t, 2, false)
	l.apply()
	a := l.task(0, "a")
	l.ports = []Port{{Protocol: unix.IPPROTO_TCP, Published: 8001, HostMode: true, Endpoints: []Endpoint{endpoint(a)}}}
	l.applyNode(0, false)
	l.ports[0].Endpoints = nil // as the other node is told
	l.applyNode(1, false)
	if got, want := l.get(l.client, "tcp", "10.77.0.101:8001"), "a saw 10.77.0.1"; got != want {
		t.Errorf("the task's node gave %q, want %q", got, want)
	}
	// The other node's port belongs to the node itself.
	var ln net.Listener
	err := namespace.In(l.nodes[1].netns, func() (err error) {
		ln, err = net.Listen("tcp", ":8001")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := l.dial(l.client, "tcp", "10.77.0.102:8001")
	if err != nil {
		t.Errorf("the other node's own service: %v", err)
	} else {
		c.Close()
	}
}

// TestEmptyHidesHost: a port without endpoints does not reach what the node itself has on it.
func TestEmptyHidesHost(t *testing.T) {
	l := newLab(t, 1, false)
	l.apply()
	l.serve(l.nodes[0].netns, "host") // on port 80
	l.publish(80)
	l.apply()
	for _, network := range []string{"tcp", "udp"} {
		if got := l.get(l.client, network, "10.77.0.101:80"); got != "refused" {
			t.Errorf("%s gave %q, want refused", network, got)
		}
	}
	l.ports = nil
	l.apply()
	for _, network := range []string{"tcp", "udp"} {
		if got := l.get(l.client, network, "10.77.0.101:80"); !strings.HasPrefix(got, "host saw") {
			t.Errorf("unpublished, %s gave %q, want the host's own service", network, got)
		}
	}
}

// TestOutside: tasks reach the outside by their node's address, and nobody
// outside reaches a task but by a published port.
func TestOutside(t *testing.T) {
	l := newLab(t, 2, false)
	l.apply()
	a, b := l.task(0, "a"), l.task(1, "b")
	l.apply()
	l.serve(l.client, "cli")
	for _, tt := range []struct{ addr, want string }{
		{"10.77.0.1:80", "cli saw 10.77.0.101"},
		{"[fd77::1]:80", "cli saw fd77::101"},
	} {
		for _, network := range []string{"tcp", "udp"} {
			if got := l.get(l.of(a), network, tt.addr); got != tt.want {
				t.Errorf("task to %s by %s: %q, want %q", tt.addr, network, got, tt.want)
			}
		}
	}
	l.patience = time.Second / 2
	l.ip(l.client, "route add 10.88.0.0/16 via 10.77.0.101")
	for _, task := range []Task{a, b} { // one on the node, one behind it
		if got := l.get(l.client, "udp", task.addrs()[0].String()+":80"); got != "timeout" {
			t.Errorf("a client outside reached task %s directly: %q", task.ID, got)
		}
	}
	out, err := inNode(l, 0, "ip", "route", "get", "10.88.9.9")
	if err == nil || !strings.Contains(out, "No route to host") {
		t.Errorf("an address without a task leads to %q, want an error", out)
	}
}

// TestLoopbackGuard sends from a task to the node's loopback address.
func TestLoopbackGuard(t *testing.T) {
	l := newLab(t, 1, false)
	l.apply()
	a := l.task(0, "a")
	l.apply()
	l.serve(l.nodes[0].netns, "host")
	l.in(l.of(a), "sh", "-c", `echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet
		ip route del local 127.0.0.0/8 dev lo table local
		ip route del local 127.0.0.1 dev lo table local
		ip addr del 127.0.0.1/8 dev lo`)
	l.patience = time.Second / 2
	if got := l.get(l.of(a), "udp", "127.0.0.1:80"); strings.Contains(got, "saw") {
		t.Errorf("a task reached the node's loopback address: %q", got)
	}
	if out := l.in(l.nodes[0].netns, "nft", "list", "chain", "ip", "muster", "guard"); !strings.Contains(out, "packets 1") {
		t.Errorf("the guard did not count the packet:\n%s", out)
	}
}

// TestForeignFrames: VXLAN frames from an address that is not a node's do not get in.
func TestForeignFrames(t *testing.T) {
	l := newLab(t, 1, false)
	l.apply()
	l.task(0, "a")
	l.apply()
	l.ip(l.client, "link add mu0 address %s type vxlan id %d dstport %d local 10.77.0.1 nolearning", nodeMAC(9), DefaultVNI, DefaultPort)
	l.ip(l.client, "addr add 192.0.2.9/32 dev mu0")
	l.ip(l.client, "link set mu0 up")
	l.ip(l.client, "neigh add %s lladdr %s dev mu0", tunnel4(1), nodeMAC(1))
	l.in(l.client, "bridge", "fdb", "append", nodeMAC(1).String(), "dev", "mu0", "dst", "10.77.0.101")
	l.ip(l.client, "route add 10.88.0.0/16 via %s dev mu0 onlink", tunnel4(1))
	l.patience = time.Second / 2
	if got := l.get(l.client, "udp", "10.88.0.10:80"); got != "timeout" {
		t.Errorf("a stranger's frame was answered: %q", got)
	}
	for line := range strings.Lines(l.in(l.nodes[0].netns, "nft", "list", "chain", "ip", "muster", "input")) {
		if strings.Contains(line, "frames come from nodes") && strings.Contains(line, "packets 0 ") {
			t.Errorf("no frame was counted: %s", line)
		}
	}
}

// TestTaskPretends: a task sends neither frames of the overlay nor from an
// address that is not its own.
func TestTaskPretends(t *testing.T) {
	l := newLab(t, 1, false)
	l.apply()
	a := l.task(0, "a")
	l.apply()
	l.patience = time.Second / 2
	counted := func(chain, rule string) {
		t.Helper()
		for line := range strings.Lines(l.in(l.nodes[0].netns, "nft", "list", "chain", "ip", "muster", chain)) {
			if strings.Contains(line, rule) && !strings.Contains(line, "packets 0 ") {
				return
			}
		}
		t.Errorf("no packet was dropped by %q", rule)
	}
	l.get(l.of(a), "udp", "10.77.0.1:4789")
	counted("forward", "frames do not come from tasks")
	l.in(l.of(a), "sh", "-c", "ip addr add 192.0.2.7/32 dev eth0; ip route replace default via 169.254.1.1 dev eth0 onlink src 192.0.2.7")
	l.get(l.of(a), "udp", "10.77.0.1:80")
	counted("guard", "tasks do not forge addresses")
}

// TestLeave follows a task out of the mesh: drained, then gone.
func TestLeave(t *testing.T) {
	l := newLab(t, 2, false)
	l.apply()
	a, b := l.task(1, "a"), l.task(1, "b")
	l.publish(8001, a, b)
	l.apply()
	type conn struct {
		net.Conn
		server string
	}
	open := func(network string) (conns []conn) {
		for range 2 {
			c, err := l.dial(l.client, network, "10.77.0.101:8001")
			if err != nil {
				t.Fatal(err)
			}
			answer, err := l.ask(c)
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, conn{c, answer[:1]})
		}
		return conns
	}
	tcp, udp := open("tcp"), open("udp")
	count := func(task Task) int {
		n, err := l.nodes[1].plane.Connections(t.Context(), task.addrs()[:1])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if got := count(a); got != 1 {
		t.Errorf("%d connections lead to a, want 1", got)
	}

	// a drains: nothing new gets to it, what is established goes on.
	l.ports = nil
	l.publish(8001, b)
	l.apply()
	for _, c := range tcp {
		if got, err := l.ask(c); err != nil || !strings.HasPrefix(got, c.server) {
			t.Errorf("the connection to %s gave %q, %v after a drained", c.server, got, err)
		}
	}
	for _, c := range udp {
		if got, err := l.ask(c); err != nil || !strings.HasPrefix(got, "b") {
			t.Errorf("the flow to %s gave %q, %v after a drained, want b", c.server, got, err)
		}
	}
	for range 4 {
		if got := l.get(l.client, "tcp", "10.77.0.101:8001"); !strings.HasPrefix(got, "b") {
			t.Errorf("a new connection got %q, want b", got)
		}
	}
	if got := count(a); got != 1 {
		t.Errorf("%d connections lead to a, want 1", got)
	}

	// a is gone: its connections fail at once.
	node := l.nodes[1]
	if err := node.plane.Detach(t.Context(), a.ID); err != nil {
		t.Fatal(err)
	}
	if err := l.nodes[0].plane.DeleteNetns(a.ID); err != nil {
		t.Fatal(err)
	}
	node.tasks = node.tasks[1:]
	l.apply()
	if got := count(a); got != 0 {
		t.Errorf("%d connections lead to a, which is gone", got)
	}
	for _, c := range tcp {
		start := time.Now()
		got, err := l.ask(c)
		switch {
		case c.server == "b" && (err != nil || !strings.HasPrefix(got, "b")):
			t.Errorf("the connection to b gave %q, %v after a was gone", got, err)
		case c.server == "a" && (err == nil || time.Since(start) > time.Second):
			t.Errorf("the connection to a gave %q, %v after %s, want an error at once", got, err, time.Since(start))
		}
	}
	for i := range l.nodes {
		if lines := l.diff(i); len(lines) > 0 {
			t.Errorf("node %d drifted: %q", i, lines)
		}
	}
}

// TestUDPFromBefore: a client that sent to the node before the port was published gets to the tasks.
func TestUDPFromBefore(t *testing.T) {
	l := newLab(t, 1, false)
	l.apply()
	a := l.task(0, "a")
	l.apply()
	l.serve(l.nodes[0].netns, "host")
	c, err := l.dial(l.client, "udp", "10.77.0.101:80")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := l.ask(c); err != nil || !strings.HasPrefix(got, "host") {
		t.Fatalf("unpublished: %q, %v, want the host's own service", got, err)
	}
	l.publish(80, a)
	l.apply()
	if got, err := l.ask(c); err != nil || !strings.HasPrefix(got, "a") {
		t.Errorf("published: %q, %v, want the task", got, err)
	}
}

// inNode runs a command in a node's namespace that may fail.
func inNode(l *lab, i int, command ...string) (string, error) {
	out, err := nsenter(l.nodes[i].netns, command...).CombinedOutput()
	return string(out), err
}

// TestMarksOfOthers: packets that others mark go where they always went, also
// when a node's index has the same bits.
func TestMarksOfOthers(t *testing.T) {
	l := newLab(t, 2, false)
	others := map[string]string{
		"Tailscale's own": "0x80000", "Tailscale's subnets": "0x40000", "kube-proxy's masquerade": "0x4000", "kube-proxy's drop": "0x8000",
		"Weave's": "0x20000", "Cilium's proxy": "0x200", "Cilium's identity": "0x10e00", "Calico's": "0xffff0000", "wg-quick's": "0xca6c", "all bits": "0xffffffff",
	}
	for _, index := range []uint32{2, 4, 8, 0x1f, 0x4000} {
		l.nodes[1].Index = index
		l.applyNode(0, true)
		for name, mark := range others {
			for _, to := range []netip.Addr{l.addr4(1), l.addr6(1)} {
				if got := l.ip(l.nodes[0].netns, "route get %s mark %s", to, mark); !strings.Contains(got, "dev e0") {
					t.Errorf("node index %#x: a packet with %s mark %s goes by %s", index, name, mark, got)
				}
			}
		}
		own := fmt.Sprintf("%#x", nodeMark(index))
		if got := l.ip(l.nodes[0].netns, "route get %s mark %s", l.addr4(1), own); !strings.Contains(got, "dev mu0") {
			t.Errorf("node index %#x: a packet with its mark goes by %s", index, got)
		}
	}
}
