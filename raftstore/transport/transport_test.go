package transport_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/test/bufconn"

	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore"
	"github.com/muster/muster/raftstore/state"
	"github.com/muster/muster/raftstore/transport"
)

// network connects addresses in memory, unless one is unplugged.
type network struct {
	mu        sync.Mutex
	listeners map[string]*bufconn.Listener
	unplugged string
	conns     map[string][]net.Conn // by both ends
}

func (n *network) layer(addr string) *transport.Layer {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.listeners[addr] = bufconn.Listen(1 << 16)
	return transport.New(n.listeners[addr], addr, func(ctx context.Context, id, to string) (net.Conn, error) {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.unplugged == addr || n.unplugged == to || n.listeners[to] == nil {
			return nil, errors.New("no route to host")
		}
		if want := strings.TrimSuffix(to, ":2377"); want != id {
			return nil, fmt.Errorf("there is %s, not %s", want, id)
		}
		c, err := n.listeners[to].DialContext(ctx)
		if err == nil {
			n.conns[addr], n.conns[to] = append(n.conns[addr], c), append(n.conns[to], c)
		}
		return c, err
	})
}

func (n *network) unplug(addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.unplugged = addr
	for _, c := range n.conns[addr] {
		_ = c.Close()
	}
}

func (n *network) start(t *testing.T, id string) *raftstore.Store {
	t.Helper()
	s, err := raftstore.Open(t.Context(), raftstore.Config{ID: id, Stream: n.layer(id + ":2377")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s
}

func node(id string) *raftpb.Change { return state.PutNode(&raftpb.PutNode{Id: id}) }

// TestMembersOverConnections runs members over connections, cuts their leader
// off, and has everything closed at the end: synctest fails the test if a
// goroutine is left.
func TestMembersOverConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wire := &network{listeners: make(map[string]*bufconn.Listener), conns: make(map[string][]net.Conn)}
		var ms []*raftstore.Store
		for i := range 3 {
			ms = append(ms, wire.start(t, fmt.Sprintf("m%d", i+1)))
		}
		if err := errors.Join(ms[0].Bootstrap(t.Context()), ms[0].AwaitLeadership(t.Context())); err != nil {
			t.Fatal(err)
		}
		for i := 1; i < 3; i++ {
			if err := ms[0].AddVoter(t.Context(), fmt.Sprintf("m%d", i+1), fmt.Sprintf("m%d:2377", i+1)); err != nil {
				t.Fatal(err)
			}
		}
		if got := ms[0].Members()[0].Addr; got != "m1:2377" {
			t.Errorf("m1 is known at %q", got)
		}
		for i := range 100 {
			if err := ms[0].Propose(t.Context(), node(fmt.Sprintf("n%d", i))); err != nil {
				t.Fatal(err)
			}
		}
		wire.unplug("m1:2377")
		var next *raftstore.Store
		for start := time.Now(); next == nil; time.Sleep(10 * time.Millisecond) {
			for _, m := range ms[1:] {
				if m.IsLeader() {
					next = m
				}
			}
			if time.Since(start) > 5*time.Second {
				t.Fatal("no leader")
			}
		}
		if _, ok := next.State().Node("n99"); !ok {
			t.Error("an acknowledged write is lost")
		}
		wire.unplug("")
		if err := next.Propose(t.Context(), node("after")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if _, ok := ms[0].State().Node("after"); !ok {
			t.Error("the member that was cut off did not catch up")
		}
	})
}

func TestCloseClosesConnections(t *testing.T) {
	n := &network{listeners: make(map[string]*bufconn.Listener), conns: make(map[string][]net.Conn)}
	a, b := n.layer("a"), n.layer("b")
	defer b.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		in, err := b.Accept()
		if err != nil {
			t.Error(err)
		}
		accepted <- in
	}()
	out, err := a.Dial(transport.Named("b", "b"), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	in := <-accepted
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Read(make([]byte, 1)); err == nil {
		t.Error("the other side reads on")
	}
	if _, err := out.Write([]byte("x")); err == nil {
		t.Error("this side writes on")
	}
	if _, err := a.Dial("b", time.Second); !errors.Is(err, net.ErrClosed) {
		t.Errorf("dial after close: %v", err)
	}
	if _, err := a.Accept(); err == nil {
		t.Error("accepted after close")
	}
	if a.Addr().String() != "a" || a.Addr().Network() != "tcp" {
		t.Errorf("address %v", a.Addr())
	}
}
