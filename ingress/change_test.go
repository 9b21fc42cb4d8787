package ingress

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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
	l.ports = []Port{{Protocol: "tcp", Published: 8001, HostMode: true, Endpoints: []Endpoint{endpoint(a)}}}
	l.applyNode(0, false)
	l.ports[0].Endpoints = nil // as the other node is told
	l.applyNode(1, false)
	if got, want := l.get(l.client, "tcp", "10.77.0.101:8001"), "a saw 10.77.0.1"; got != want {
		t.Errorf("the task's node gave %q, want %q", got, want)
	}
	// The other node's port belongs to the node itself.
	var ln net.Listener
	err := inNetns(l.nodes[1].netns, func() (err error) {
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
			if got := l.get(a.Netns, network, tt.addr); got != tt.want {
				t.Errorf("task to %s by %s: %q, want %q", tt.addr, network, got, tt.want)
			}
		}
	}
	l.patience = time.Second / 2
	l.ip(l.client, "route add 10.88.0.0/16 via 10.77.0.101")
	for _, task := range []Task{a, b} { // one on the node, one behind it
		if got := l.get(l.client, "udp", task.Addrs[0].String()+":80"); got != "timeout" {
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
	l.in(a.Netns, "sh", "-c", `echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet
		ip route del local 127.0.0.0/8 dev lo table local
		ip route del local 127.0.0.1 dev lo table local
		ip addr del 127.0.0.1/8 dev lo`)
	l.patience = time.Second / 2
	if got := l.get(a.Netns, "udp", "127.0.0.1:80"); strings.Contains(got, "saw") {
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
	if out := l.in(l.nodes[0].netns, "nft", "list", "chain", "ip", "muster", "input"); strings.Contains(out, "packets 0") {
		t.Errorf("no frame was counted:\n%s", out)
	}
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
		n, err := l.nodes[1].plane.Connections(t.Context(), task.Addrs[0])
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
	if err := DeleteNetns(a.Netns); err != nil {
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

// TestDrift breaks one thing at a time by hand.
func TestDrift(t *testing.T) {
	l := newLab(t, 2, false)
	l.apply()
	a, b := l.task(0, "a"), l.task(1, "b")
	l.publish(8001, a, b)
	l.publish(8002, b)
	l.apply()
	link := taskLink("a")
	tests := map[string]struct {
		harm string
		want string // of the report
	}{
		"element deleted":    {"nft delete element ip muster endpoints { tcp . 8001 . 1 }", "endpoints lacks tcp . 8001 . 0x1 : 10.88.0.11 . 80"},
		"element added":      {"nft add element ip muster empty { tcp . 22 }", "empty has left over tcp . 22"},
		"subnet deleted":     {"nft delete element ip6 muster subnets { fd88::/64 }", "subnets lacks fd88::"},
		"rule added":         {"nft add rule ip muster forward drop", "chain forward has other rules"},
		"chain flushed":      {"nft flush chain ip6 muster outbound", "chain outbound has other rules"},
		"table deleted":      {"nft delete table ip muster", "the table is missing"},
		"foreign set":        {"nft add set ip muster mine '{ type ipv4_addr; }'", "set mine is not ours"},
		"route deleted":      {"ip route del 10.88.0.11", "route is missing: 10.88.0.11/32 via 169.254.128.2 table 254"},
		"route added":        {"ip route add 10.88.0.77 via 169.254.128.2 dev mu0 onlink proto 109", "route is left over: 10.88.0.77/32"},
		"IPv6 route deleted": {"ip -6 route del fd88::11", "route is missing: fd88::11/128"},
		"refusal deleted":    {"ip route del unreachable 10.88.0.0/16", "route is missing: 10.88.0.0/16 unreachable"},
		"rule deleted":       {"ip rule del priority 4790", "routing rule is missing: ip priority 4790 mark 0x20000/0x7fff0000 table 47890002"},
		"neighbour deleted":  {"ip neigh del 169.254.128.2 dev mu0", "neighbour is missing: 169.254.128.2 at 02:6d:75:00:00:02"},
		"forwarding deleted": {"bridge fdb del 02:6d:75:00:00:02 dev mu0 dst 10.77.0.102", "forwarding entry is missing: 02:6d:75:00:00:02 to 10.77.0.102"},
		"address deleted":    {"ip addr del 169.254.128.1/32 dev mu0", "address is missing: 169.254.128.1/32"},
		"device deleted":     {"ip link del mu0", "device mu0 is missing"},
		"device down":        {"ip link set mu0 down", "device mu0 is vni 4097"},
		"MTU changed":        {"ip link set mu0 mtu 1400", "mtu 1400"},
		"link address":       {"ip link set mu0 address 02:00:00:00:00:99", "mac 02:00:00:00:00:99"},
		"sysctl changed":     {"sysctl -qw net.ipv4.ip_forward=0", "sysctl net/ipv4/ip_forward is not 1"},
		"veth deleted":       {"ip link del " + link, "task a is not attached"},
		"task route deleted": {"ip route del 10.88.0.10 dev " + link, "task a is not attached"},
		"everything of nft":  {"nft flush ruleset", "the table is missing"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			before := l.nodes[0].plane.Repairs()
			l.in(l.nodes[0].netns, "sh", "-c", tt.harm)
			lines := l.diff(0)
			if !strings.Contains(strings.Join(lines, "\n"), tt.want) {
				t.Errorf("the report is %q, want %q in it", lines, tt.want)
			}
			l.applyNode(0, true)
			if lines := l.diff(0); len(lines) > 0 {
				t.Errorf("still drifted after the repair: %q", lines)
			}
			if l.nodes[0].plane.Repairs() == before {
				t.Error("the repair was not counted")
			}
			for range 2 {
				if got := l.get(l.client, "tcp", "10.77.0.101:8001"); !strings.HasSuffix(got, "saw 10.77.0.1") {
					t.Errorf("after the repair: %q", got)
				}
			}
		})
	}
}

// TestIdempotent: what is right is not touched.
func TestIdempotent(t *testing.T) {
	l := newLab(t, 2, false)
	l.apply()
	l.publish(8001, l.task(0, "a"), l.task(1, "b"))
	l.apply()
	dump := func() string {
		return l.in(l.nodes[0].netns, "sh", "-c", "nft -a list ruleset; ip -d addr; ip route show table all; ip rule; bridge fdb")
	}
	before := dump()
	for range 2 {
		l.applyNode(0, true)
	}
	if diff := cmp.Diff(before, dump()); diff != "" {
		t.Errorf("applying again changed the kernel:\n%s", diff)
	}
	if n := l.nodes[0].plane.Repairs(); n != 0 {
		t.Errorf("%d repairs of what was right", n)
	}
	// A new process finds all as it should be.
	again := New(Config{Netns: l.nodes[0].netns})
	again.Set(l.want(0))
	if lines, err := again.Diff(t.Context()); err != nil || len(lines) > 0 {
		t.Errorf("a new process finds drift %q, %v", lines, err)
	}
	if err := again.apply(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, dump()); diff != "" {
		t.Errorf("a new process changed the kernel:\n%s", diff)
	}
}

func TestRemove(t *testing.T) {
	l := newLab(t, 2, false)
	snapshot := func() string {
		return l.in(l.nodes[0].netns, "sh", "-c", "nft list ruleset; ip -br addr | grep -v e0; ip route show table all | grep -v e0 | sort; ip -6 route show table all | grep -v e0 | sort; ip rule; ip -6 rule")
	}
	before := snapshot()
	l.apply()
	l.publish(8001, l.task(0, "a"), l.task(1, "b"))
	l.apply()
	if snapshot() == before {
		t.Fatal("applying changed nothing")
	}
	for range 2 {
		if err := l.nodes[0].plane.Remove(t.Context()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, snapshot()); diff != "" {
			t.Errorf("left behind (-before +after):\n%s", diff)
		}
	}
}

// TestRun drives the plane by its loop.
func TestRun(t *testing.T) {
	l := newLab(t, 1, false)
	n := l.nodes[0]
	ctx, cancel := context.WithCancel(t.Context())
	n.plane.cfg.Resync = 200 * time.Millisecond
	done := make(chan error, 1)
	go func() { done <- n.plane.Run(ctx) }()
	w := *l.want(0)
	for index := uint64(1); index <= 3; index++ {
		next := w
		next.Index = index
		n.plane.Set(&next)
	}
	applied := func(index uint64) {
		t.Helper()
		timeout := time.After(10 * time.Second)
		for {
			select {
			case got := <-n.applied:
				if got == index {
					return
				}
			case <-timeout:
				t.Fatalf("index %d was not applied", index)
			}
		}
	}
	applied(3)
	l.ip(n.netns, "link del mu0")
	for range 3 { // the timer repairs it, the tick after at the latest
		applied(3)
	}
	if n.plane.Repairs() == 0 {
		t.Error("the timer repaired nothing")
	}
	// What cannot be applied is tried until it can.
	bad := w
	bad.Index, bad.Self.Underlay = 4, netip.MustParseAddr("10.77.0.200")
	n.plane.Set(&bad)
	l.ip(n.netns, "addr add 10.77.0.200/24 dev e0")
	applied(4)
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run returned %v", err)
	}
}

// TestAttachMany attaches tasks all at once, twice, and detaches them.
func TestAttachMany(t *testing.T) {
	const tasks = 100
	l := newLab(t, 1, false)
	l.apply()
	n := l.nodes[0]
	each := func(f func(Task) error) time.Duration {
		start := time.Now()
		var wg sync.WaitGroup
		for i := range tasks {
			task := Task{
				ID: fmt.Sprintf("task-%d", i), Netns: fmt.Sprintf("/run/netns/%s-t%d", l.prefix, i),
				Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 88, 1, byte(i)}), netip.MustParseAddr(fmt.Sprintf("fd88::1:%d", i))},
			}
			wg.Go(func() {
				if err := f(task); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		return time.Since(start)
	}
	attach := func(task Task) error { return n.plane.Attach(t.Context(), task) }
	made := each(func(task Task) error { return CreateNetns(task.Netns) })
	t.Cleanup(func() { each(func(task Task) error { return DeleteNetns(task.Netns) }) })
	d := each(attach)
	t.Logf("%d namespaces in %s, attached in %s: %.0f/s", tasks, made, d, tasks/d.Seconds())
	each(attach)
	if out := l.ip(n.netns, "-br link"); strings.Count(out, TaskLinkPrefix) < tasks {
		t.Errorf("fewer than %d veths:\n%s", tasks, out)
	}
	for range 2 {
		each(func(task Task) error { return n.plane.Detach(t.Context(), task.ID) })
	}
	if links := l.ip(n.netns, "-br link show type veth"); strings.Contains(links, "\n"+TaskLinkPrefix) {
		t.Errorf("veths are left:\n%s", links)
	}
}

// inNode runs a command in a node's namespace that may fail.
func inNode(l *lab, i int, command ...string) (string, error) {
	out, err := nsenter(l.nodes[i].netns, command...).CombinedOutput()
	return string(out), err
}

func TestNetns(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	path := fmt.Sprintf("/run/netns/ig-%d-ns", os.Getpid())
	for range 2 {
		if err := CreateNetns(path); err != nil {
			t.Fatal(err)
		}
	}
	if !isNetns(path) {
		t.Errorf("%s is not a network namespace", path)
	}
	for range 2 {
		if err := DeleteNetns(path); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", path, err)
	}
}
