package ingress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/muster/muster/ingress/namespace"
	"github.com/muster/muster/integration/needs"
)

// lab is a network on this machine: a client and nodes on one switch, each in
// a network namespace of its own, each node with its own plane.
type lab struct {
	t      testing.TB
	prefix string
	dir    string // of tasks' network namespaces
	client string // network namespace of the client
	nodes  []*labNode
	ports  []Port
	v6     bool // the underlay is IPv6
	// patience is how long to wait for what should come; shorten it for what should not.
	patience time.Duration
}

type labNode struct {
	Node
	netns   string
	plane   *Plane
	tasks   []Task
	applied chan uint64
}

var labs atomic.Int32 // gives parallel tests unique names

// newLab needs root and skips the test without.
func newLab(t testing.TB, nodes int, v6 bool) *lab {
	t.Helper()
	needs.Root(t, "network namespaces")
	needs.Programs(t, "ip", "nft")
	l := &lab{t: t, prefix: fmt.Sprintf("ig-%d-%d", os.Getpid(), labs.Add(1)), dir: t.TempDir(), v6: v6, patience: 3 * time.Second}
	sw := l.netns("sw")
	l.ip(sw, "link add br0 type bridge")
	l.ip(sw, "link set br0 up")
	l.client = l.netns("cli")
	l.plug(sw, l.client, 1)
	for i := 1; i <= nodes; i++ {
		n := &labNode{netns: l.netns(fmt.Sprintf("n%d", i)), applied: make(chan uint64, 100)}
		l.plug(sw, n.netns, 100+i)
		n.Node = Node{ID: fmt.Sprintf("n%d", i), Index: uint32(i), Underlay: l.addr4(100 + i), Addrs: []netip.Addr{l.addr6(100 + i)}}
		if v6 {
			n.Underlay, n.Addrs = n.Addrs[0], []netip.Addr{n.Underlay}
		}
		n.plane = New(Config{
			Netns: n.netns, TaskDir: l.dir, Resync: time.Hour, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
			Applied: func(index uint64) {
				select {
				case n.applied <- index:
				default: // nobody listens
				}
			},
		})
		l.nodes = append(l.nodes, n)
	}
	return l
}

// netns makes a network namespace that ends with the test.
func (l *lab) netns(name string) string {
	path := "/run/netns/" + l.prefix + "-" + name
	if err := namespace.Create(path); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		if err := namespace.Delete(path); err != nil {
			l.t.Error(err)
		}
	})
	l.ip(path, "link set lo up")
	return path
}

func (l *lab) addr4(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 77, 0, byte(i)}) }
func (l *lab) addr6(i int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("fd77::%d", i)) }

// plug connects a namespace to the switch.
func (l *lab) plug(sw, ns string, i int) {
	port := fmt.Sprintf("p%d", i)
	l.ip(sw, "link add %s type veth peer name e0 netns %s", port, strings.TrimPrefix(ns, "/run/netns/"))
	l.ip(sw, "link set %s master br0 up", port)
	l.ip(ns, "addr add %s/24 dev e0", l.addr4(i))
	l.ip(ns, "addr add %s/64 dev e0 nodad", l.addr6(i))
	l.ip(ns, "link set e0 addrgenmode none") // its duplicate detection would change things during tests
	l.ip(ns, "link set e0 up")
}

func (l *lab) ip(ns, format string, args ...any) string {
	l.t.Helper()
	return l.run("ip", append([]string{"-n", strings.TrimPrefix(ns, "/run/netns/")}, strings.Fields(fmt.Sprintf(format, args...))...)...)
}

// in runs a command in a namespace.
func (l *lab) in(ns string, command ...string) string {
	l.t.Helper()
	return l.run("nsenter", append([]string{"--net=" + ns}, command...)...)
}

func (l *lab) run(name string, args ...string) string {
	l.t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		l.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// want is what node i should hold.
func (l *lab) want(i int) *Want {
	w := &Want{
		Self: l.nodes[i].Node, Tasks: l.nodes[i].tasks, Ports: l.ports, Index: 1,
		Networks: networks("10.88.0.0/16", "fd88::/64"),
	}
	for j, n := range l.nodes {
		if j == i {
			continue
		}
		other := n.Node
		for _, t := range n.tasks {
			other.Attachments = append(other.Attachments, t.Attachments...)
		}
		w.Nodes = append(w.Nodes, other)
	}
	return w
}

// apply makes all nodes hold what the lab wants.
func (l *lab) apply() {
	l.t.Helper()
	for i, n := range l.nodes {
		n.plane.Set(l.want(i))
		if err := n.plane.apply(l.t.Context(), false); err != nil {
			l.t.Fatalf("apply on node %s: %v", n.ID, err)
		}
	}
}

// task attaches a task to node i, and runs a server in it that answers, on
// port 80 of TCP and UDP, with its own name and the client's address.
func (l *lab) task(i int, name string) Task {
	l.t.Helper()
	n := l.nodes[i]
	k := 0
	for _, n := range l.nodes {
		k += len(n.tasks)
	}
	t := Task{
		ID:          name,
		Attachments: attached(netip.AddrFrom4([4]byte{10, 88, 0, byte(10 + k)}), netip.MustParseAddr(fmt.Sprintf("fd88::%d", 10+k))),
	}
	netns := l.taskNetns(n, name)
	if err := n.plane.Attach(l.t.Context(), t); err != nil {
		l.t.Fatal(err)
	}
	n.tasks = append(n.tasks, t)
	l.serve(netns, name)
	return t
}

// taskNetns makes the network namespace of a task on n, which ends with the
// test, and returns its path.
func (l *lab) taskNetns(n *labNode, taskID string) string {
	l.t.Helper()
	path, err := n.plane.CreateNetns(taskID)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		if err := n.plane.DeleteNetns(taskID); err != nil {
			l.t.Error(err)
		}
	})
	return path
}

// of is the path of a task's network namespace.
func (l *lab) of(t Task) string { return filepath.Join(l.dir, t.ID) }

func (l *lab) serve(netns, name string) {
	l.t.Helper()
	l.serveOn(netns, name, 80)
}

func (l *lab) serveOn(netns, name string, port int) {
	l.t.Helper()
	var tcp net.Listener
	var udp net.PacketConn
	err := namespace.In(netns, func() (err error) {
		if tcp, err = net.Listen("tcp", fmt.Sprint(":", port)); err != nil {
			return err
		}
		udp, err = net.ListenPacket("udp", fmt.Sprint(":", port))
		return err
	})
	if err != nil {
		l.t.Fatal(err)
	}
	var wg sync.WaitGroup
	l.t.Cleanup(func() { tcp.Close(); udp.Close(); wg.Wait() })
	wg.Go(func() { serveTCP(tcp, name, &wg) })
	wg.Go(func() { serveUDP(udp, name) })
}

// serveTCP answers each line with one line.
func serveTCP(ln net.Listener, name string, wg *sync.WaitGroup) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		wg.Go(func() {
			defer c.Close()
			buf := make([]byte, 64)
			for {
				c.SetDeadline(time.Now().Add(4 * time.Second)) //nolint:errcheck // a lost client ends this
				if _, err := c.Read(buf); err != nil {
					return
				}
				fmt.Fprintf(c, "%s saw %s\n", name, clientOf(c.RemoteAddr()))
			}
		})
	}
}

func serveUDP(c net.PacketConn, name string) {
	buf := make([]byte, 64)
	for {
		_, from, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		c.WriteTo(fmt.Appendf(nil, "%s saw %s\n", name, clientOf(from)), from) //nolint:errcheck // the client tells
	}
}

func clientOf(a net.Addr) string { return netip.MustParseAddrPort(a.String()).Addr().Unmap().String() }

// dial connects from a namespace.
func (l *lab) dial(ns, network, addr string) (net.Conn, error) {
	return l.dialBy(&net.Dialer{}, ns, network, addr)
}

func (l *lab) dialBy(d *net.Dialer, ns, network, addr string) (net.Conn, error) {
	var c net.Conn
	err := namespace.In(ns, func() (err error) {
		ctx, cancel := context.WithTimeout(l.t.Context(), l.patience)
		defer cancel()
		c, err = d.DialContext(ctx, network, addr)
		return err
	})
	if err == nil {
		l.t.Cleanup(func() { c.Close() })
	}
	return c, err
}

// ask sends one request on the connection and returns the answer.
func (l *lab) ask(c net.Conn) (string, error) {
	c.SetDeadline(time.Now().Add(l.patience)) //nolint:errcheck // it is a live connection
	if _, err := io.WriteString(c, "?"); err != nil {
		return "", err
	}
	buf := make([]byte, 64)
	n, err := c.Read(buf)
	return strings.TrimSpace(string(buf[:n])), err
}

// get asks once on a connection of its own: the answer, or what went wrong.
func (l *lab) get(ns, network, addr string) string {
	c, err := l.dial(ns, network, addr)
	if err != nil {
		return explain(err)
	}
	defer c.Close()
	answer, err := l.ask(c)
	if err != nil {
		return explain(err)
	}
	return answer
}

func explain(err error) string {
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		return "timeout"
	}
	if strings.Contains(err.Error(), "refused") {
		return "refused"
	}
	return err.Error()
}

func endpoint(t Task) Endpoint {
	return Endpoint{Addr4: netip.AddrPortFrom(t.addrs()[0], 80), Addr6: netip.AddrPortFrom(t.addrs()[1], 80)}
}

// publish publishes a port on TCP and UDP.
func (l *lab) publish(port uint16, tasks ...Task) {
	var endpoints []Endpoint
	for _, t := range tasks {
		endpoints = append(endpoints, endpoint(t))
	}
	l.ports = append(l.ports,
		Port{Protocol: unix.IPPROTO_TCP, Published: port, Endpoints: endpoints},
		Port{Protocol: unix.IPPROTO_UDP, Published: port, Endpoints: endpoints})
}

func nsenter(ns string, command ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{"--net=" + ns}, command...)...)
}
