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

	"github.com/hashicorp/raft"
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

func (n *network) start(t *testing.T, id string, on ...disk) *raftstore.Store {
	t.Helper()
	config := raftstore.Config{ID: id, Stream: n.layer(id + ":2377")}
	for _, d := range on {
		config.WrapLog = func(l raft.LogStore) raft.LogStore { return slowLog{l, d} }
		config.WrapStable = func(s raft.StableStore) raft.StableStore { return slowStable{s, d} }
	}
	s, err := raftstore.Open(t.Context(), config)
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

// disk is held by whoever writes to it, and by the test while it stands still.
// Time goes on while one waits for it, unlike for a mutex.
type disk chan struct{}

func (d disk) lock()   { d <- struct{}{} }
func (d disk) unlock() { <-d }

type slowLog struct {
	raft.LogStore
	disk disk
}

func (l slowLog) StoreLogs(logs []*raft.Log) error {
	l.disk.lock()
	defer l.disk.unlock()
	return l.LogStore.StoreLogs(logs)
}

type slowStable struct {
	raft.StableStore
	disk disk
}

func (s slowStable) SetUint64(key []byte, val uint64) error {
	s.disk.lock()
	defer s.disk.unlock()
	return s.StableStore.SetUint64(key, val)
}

// TestWhoLeadsIsKnownWithoutADisk: a member whose disk stands still, whether it
// led or followed, learns who leads, though raft cannot write the term down.
func TestWhoLeadsIsKnownWithoutADisk(t *testing.T) {
	for _, led := range []bool{true, false} {
		t.Run(fmt.Sprintf("it led: %t", led), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				wire := &network{listeners: make(map[string]*bufconn.Listener), conns: make(map[string][]net.Conn)}
				disk := make(disk, 1)
				m1 := wire.start(t, "m1", disk)
				others := []*raftstore.Store{wire.start(t, "m2"), wire.start(t, "m3")}
				if err := errors.Join(m1.Bootstrap(t.Context()), m1.AwaitLeadership(t.Context()),
					m1.AddVoter(t.Context(), "m2", "m2:2377"), m1.AddVoter(t.Context(), "m3", "m3:2377")); err != nil {
					t.Fatal(err)
				}
				if !led {
					if err := m1.TransferLeadership(t.Context()); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Second)
				}
				disk.lock()
				if led {
					if err := m1.Propose(t.Context(), node("during")); err == nil {
						t.Error("it writes on a disk that stands still")
					}
				} else {
					for _, m := range others {
						if m.IsLeader() {
							// It goes to the one that has all.
							if err := errors.Join(m.Propose(t.Context(), node("during")), m.TransferLeadership(t.Context())); err != nil {
								t.Error(err)
							}
							break
						}
					}
				}
				time.Sleep(3 * time.Second)
				for _, m := range others {
					if id, addr := m1.Leader(); m.IsLeader() && (id != m.ID() || addr != m.ID()+":2377") {
						t.Errorf("%s leads, but m1 takes %q at %q for the leader", m.ID(), id, addr)
					}
				}
				if m1.IsLeader() {
					t.Error("m1 takes itself for the leader")
				}
				disk.unlock()
				time.Sleep(15 * time.Second)
				id, _ := m1.Leader()
				if other, _ := others[0].Leader(); id != other || id == "" {
					t.Errorf("once the disk works, m1 takes %q for the leader, and another one %q", id, other)
				}
			})
		})
	}
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
