package dns

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/vishvananda/netlink"

	"github.com/muster/muster/ingress/dns/names"
	"github.com/muster/muster/ingress/dns/upstream"
	"github.com/muster/muster/ingress/namespace"
	"github.com/muster/muster/integration/needs"
)

// A process of this test is a resolver where these name its socket and the
// resolv.conf that it reads.
const (
	socketEnv = "MUSTER_TEST_RESOLVER"
	resolvEnv = "MUSTER_TEST_RESOLV_CONF"
)

func TestMain(m *testing.M) {
	if socket := os.Getenv(socketEnv); socket != "" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		log := slog.New(slog.NewTextHandler(os.Stderr, nil))
		err := Run(ctx, Config{Socket: socket, Upstream: upstream.Config{Resolv: os.Getenv(resolvEnv)}, Log: log})
		if err != nil {
			log.Error("resolver", "err", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// node is a node of tests: a directory, namespaces of tasks, and a feed.
type node struct {
	testing.TB
	dir  string
	home string // the network namespace of the node
	feed *Feed

	mu      sync.Mutex
	index   uint64
	trouble map[string]string
	told    chan struct{} // closed when the resolver said something
	stop    func()
}

func newNode(t testing.TB) *node {
	t.Helper()
	needs.Root(t, "network namespaces")
	needs.Programs(t, "ip", "nsenter")
	n := &node{TB: t, dir: t.TempDir(), told: make(chan struct{})}
	n.home = n.netns("node")
	if err := os.WriteFile(filepath.Join(n.dir, "resolv.conf"), []byte("nameserver 127.0.0.1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	n.daemon()
	t.Cleanup(func() { n.stop() })
	return n
}

func (n *node) socket() string { return filepath.Join(n.dir, "resolver.sock") }

// daemon starts a feed in place of the one there is.
func (n *node) daemon() {
	if n.stop != nil {
		n.stop()
	}
	n.feed = NewFeed(FeedConfig{
		Socket: n.socket(), Log: slog.New(slog.NewTextHandler(n.Output(), nil)),
		Applied: func(index uint64, trouble map[string]string) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.index, n.trouble = index, trouble
			close(n.told)
			n.told = make(chan struct{})
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.feed.Run(ctx) }()
	n.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			n.Errorf("the feed: %v", err)
		}
	})
}

// until waits until what the resolver says fulfils a condition.
func (n *node) until(what string, cond func(index uint64, trouble map[string]string) bool) {
	n.Helper()
	timeout := time.After(time.Minute)
	for {
		n.mu.Lock()
		ok, told := cond(n.index, n.trouble), n.told
		n.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-told:
		case <-timeout:
			n.Fatalf("waited a minute for %s; at index %d, trouble %v", what, n.index, n.trouble)
		}
	}
}

// eventually looks until cond holds, at most twenty seconds.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for ; !cond(); <-look.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited twenty seconds for %s", what)
		}
	}
}

// change has the resolver take in an update, and waits until it has.
func (n *node) change(u names.Update) {
	n.Helper()
	if err := n.feed.Change(&u); err != nil {
		n.Fatal(err)
	}
	n.until(fmt.Sprint("index ", u.Index), func(index uint64, _ map[string]string) bool { return index == u.Index })
}

// command is that of a resolver.
func (n *node) command() *exec.Cmd {
	n.Helper()
	nsenter, err := exec.LookPath("nsenter")
	if err != nil {
		n.Fatal(err)
	}
	cmd := exec.Command(nsenter, "--net="+n.home, os.Args[0], "-test.run", "^$")
	cmd.Env = append(os.Environ(), socketEnv+"="+n.socket(), resolvEnv+"="+filepath.Join(n.dir, "resolv.conf"))
	cmd.Stderr = n.Output()
	return cmd
}

// resolver starts a resolver. It ends with the test.
func (n *node) resolver() *exec.Cmd {
	n.Helper()
	cmd := n.command()
	n.begin(cmd)
	return cmd
}

func (n *node) begin(cmd *exec.Cmd) {
	n.Helper()
	if err := cmd.Start(); err != nil {
		n.Fatal(err)
	}
	n.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

// netns makes the network namespace of a task, as the data plane does.
func (n *node) netns(task string) string {
	n.Helper()
	path := filepath.Join(n.dir, "netns", task)
	if err := namespace.Create(path); err != nil {
		n.Fatal(err)
	}
	n.Cleanup(func() { _ = namespace.Delete(path) })
	n.in(path, "ip", "link", "set", "lo", "up")
	return path
}

func (n *node) in(netns string, command ...string) {
	n.Helper()
	out, err := exec.Command("nsenter", append([]string{"--net=" + netns}, command...)...).CombinedOutput()
	if err != nil {
		n.Fatalf("%q: %v\n%s", command, err, out)
	}
}

// link connects two namespaces: what is "v0" in the one goes when the other ends.
func (n *node) link(one, other string) {
	n.Helper()
	n.in(one, "ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1")
	f, err := os.Open(other)
	if err != nil {
		n.Fatal(err)
	}
	defer f.Close()
	// ip wants a name or a process id.
	err = namespace.In(one, func() error {
		link, err := netlink.LinkByName("v1")
		if err != nil {
			return err
		}
		return netlink.LinkSetNsFd(link, int(f.Fd()))
	})
	if err != nil {
		n.Fatal(err)
	}
}

func (n *node) linked(netns string) (yes bool) {
	_ = namespace.In(netns, func() error {
		_, err := netlink.LinkByName("v0")
		yes = err == nil
		return nil
	})
	return yes
}

// connect opens a connection to 127.0.0.11:53 in a namespace.
func (n *node) connect(netns, network string) *dns.Conn {
	n.Helper()
	conn, err := dial(n.Context(), netns, network, "127.0.0.11:53")
	if err != nil {
		n.Fatal(err)
	}
	n.Cleanup(func() { _ = conn.Close() })
	return &dns.Conn{Conn: conn}
}

// ask asks for a name, and gives the answer's code and addresses.
func (n *node) ask(conn *dns.Conn, name string) string {
	n.Helper()
	q := new(dns.Msg)
	q.SetQuestion(name, dns.TypeA)
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if err := conn.WriteMsg(q); err != nil {
		n.Fatal(err)
	}
	m, err := conn.ReadMsg()
	if err != nil {
		n.Fatalf("ask for %s: %v", name, err)
	}
	if m.Id != q.Id || !m.Response {
		n.Fatalf("the answer does not fit: %v", m)
	}
	said := dns.RcodeToString[m.Rcode]
	for _, rr := range m.Answer {
		if a, ok := rr.(*dns.A); ok {
			said += " " + a.A.String()
		}
	}
	return said
}

// server answers every question for an address on both protocols, in a
// namespace, until the test ends.
func (n *node) server(netns, at, addr string) { n.slowServer(netns, at, addr, 0) }

// slowServer takes its time.
func (n *node) slowServer(netns, at, addr string, takes time.Duration) {
	n.Helper()
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		<-time.After(takes)
		m := new(dns.Msg)
		m.SetReply(q)
		m.Answer = []dns.RR{&dns.A{
			Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.ParseIP(addr),
		}}
		_ = w.WriteMsg(m)
	})
	s := []*dns.Server{{Handler: handler}, {Handler: handler}}
	err := namespace.In(netns, func() (err error) {
		if s[0].PacketConn, err = net.ListenPacket("udp4", at); err != nil {
			return err
		}
		s[1].Listener, err = net.Listen("tcp4", at)
		return err
	})
	if err != nil {
		n.Fatal(err)
	}
	for _, s := range s {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go func() { _ = s.ActivateAndServe() }()
		<-started
		n.Cleanup(func() { _ = s.Shutdown() })
	}
}

// service is one with an address of its own.
func service(network, name, addr string) names.Service {
	return names.Service{Key: names.Key{Network: network, Name: name}, Virtual: []netip.Addr{netip.MustParseAddr(addr)}}
}
