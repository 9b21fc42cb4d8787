package membership

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/containerd/errdefs"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	memberpb "github.com/muster/muster/proto/member/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
	"github.com/muster/muster/raftstore/storetest"
)

// fakeStore applies changes without raft and remembers voters.
type fakeStore struct {
	t      *testing.T
	state  *state.State
	voters map[string]string
}

func (s *fakeStore) State() *state.State { return s.state }

func (s *fakeStore) Propose(_ context.Context, changes ...*raftpb.Change) error {
	s.state = storetest.Apply(s.t, s.state, changes...)
	return nil
}

func (s *fakeStore) AddVoter(_ context.Context, nodeID, addr string) error {
	s.voters[nodeID] = addr
	return nil
}

// serverFor returns a server that a node of the role "n1" calls.
func serverFor(t *testing.T, role clusterpb.NodeRole) (*Server, *fakeStore) {
	t.Helper()
	store := &fakeStore{t: t, voters: make(map[string]string), state: storetest.State(t,
		state.CreateCluster(&raftpb.CreateCluster{Id: "c"}), state.PutNode(&raftpb.PutNode{Id: "n1", Role: role}))}
	return &Server{
		Store:    store,
		Identify: func(context.Context) (string, error) { return "n1", nil },
		Dial: func(context.Context, string) (net.Conn, error) {
			return nil, errors.New("connection refused")
		},
		Forget: func(ctx context.Context, _ string, n *clusterpb.Node) error {
			return store.Propose(ctx, state.DeleteNode(n.GetId(), nil))
		},
	}, store
}

func TestAddManager(t *testing.T) {
	tests := map[string]struct {
		role clusterpb.NodeRole
		addr string
		is   func(error) bool
	}{
		"a worker has no vote":       {clusterpb.NodeRole_NODE_ROLE_WORKER, "127.0.0.1:1", errdefs.IsPermissionDenied},
		"not an address":             {clusterpb.NodeRole_NODE_ROLE_MANAGER, "nowhere", errdefs.IsInvalidArgument},
		"nobody listens there":       {clusterpb.NodeRole_NODE_ROLE_MANAGER, "127.0.0.1:1", errdefs.IsFailedPrecondition},
		"an address without a host ": {clusterpb.NodeRole_NODE_ROLE_MANAGER, ":2377", errdefs.IsInvalidArgument},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s, store := serverFor(t, tt.role)
			if _, err := s.AddManager(t.Context(), &memberpb.AddManagerRequest{Addr: tt.addr}); !tt.is(err) {
				t.Errorf("error %v", err)
			}
			if len(store.voters) > 0 {
				t.Errorf("voters %v were added", store.voters)
			}
		})
	}
}

func TestIntroduceDrainAndLeave(t *testing.T) {
	s, store := serverFor(t, clusterpb.NodeRole_NODE_ROLE_WORKER)
	availability := func() clusterpb.NodeSpec_Availability {
		n, _ := store.state.Node("n1")
		return n.GetSpec().GetAvailability()
	}
	if _, err := s.Introduce(t.Context(), &memberpb.IntroduceRequest{Availability: clusterpb.NodeSpec_AVAILABILITY_PAUSE}); err != nil {
		t.Fatal(err)
	}
	if availability() != clusterpb.NodeSpec_AVAILABILITY_PAUSE {
		t.Errorf("introduced as paused, it is %s", availability())
	}
	resp, err := s.Drain(t.Context(), &memberpb.DrainRequest{})
	if err != nil || resp.GetTasks() != 0 || availability() != clusterpb.NodeSpec_AVAILABILITY_DRAIN {
		t.Errorf("drain: %d tasks, %s, %v", resp.GetTasks(), availability(), err)
	}
	for range 2 { // a leave whose answer was lost is asked again
		if _, err := s.Leave(t.Context(), &memberpb.LeaveRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, known := store.state.Node("n1"); known {
		t.Error("the node is still known")
	}
	if _, err := s.Drain(t.Context(), &memberpb.DrainRequest{}); !errdefs.IsNotFound(err) {
		t.Errorf("a forgotten node drains: %v", err)
	}
}
