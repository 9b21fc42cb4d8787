package membership

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/proto/call"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	memberpb "github.com/muster/muster/proto/member/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
	"github.com/muster/muster/raftstore/storetest"
)

// fakeStore applies changes without raft, and remembers voters with what was
// known of them when they got their vote.
type fakeStore struct {
	t         *testing.T
	state     *state.State
	proposals int
	voters    map[string]string
	// addVoter, when set, is asked before a voter is added.
	addVoter func(ctx context.Context) error
	// removable is why no vote can be taken.
	removable error
	// propose, when set, is the error of every proposal.
	propose error
}

func (s *fakeStore) State() *state.State { return s.state }

func (s *fakeStore) Propose(_ context.Context, changes ...*raftpb.Change) error {
	if s.propose != nil {
		return s.propose
	}
	s.proposals++
	s.state = storetest.Apply(s.t, s.state, changes...)
	return nil
}

func (s *fakeStore) AddVoter(ctx context.Context, nodeID, addr string) error {
	if s.addVoter != nil {
		if err := s.addVoter(ctx); err != nil {
			return err
		}
	}
	s.voters[nodeID] = addr
	return nil
}

func (s *fakeStore) Removable(string) error { return s.removable }

func (s *fakeStore) node() *clusterpb.Node {
	n, _ := s.state.Node("n1")
	return n
}

// member is a server on the leader, and what it was called with. The node "n1"
// calls; new managers listen, unless dial says otherwise.
type member struct {
	*Server
	store  *fakeStore
	dialed []string
	open   int // connections to new managers
	forgot []string
	asked  []string // request ids of what was forgotten
	stays  error    // why no node can be forgotten, or nil
}

// Forget implements Nodes.
func (m *member) Forget(ctx context.Context, requestID string, n *clusterpb.Node) error {
	if m.stays != nil {
		return m.stays
	}
	m.forgot, m.asked = append(m.forgot, n.GetId()), append(m.asked, requestID)
	return m.store.Propose(ctx, state.DeleteNode(n.GetId(), nil))
}

// by is a call of a node.
func by(t *testing.T, nodeID string) context.Context {
	t.Helper()
	return call.NewContext(t.Context(), call.Principal{Kind: call.Worker, NodeID: nodeID})
}

type conn struct {
	net.Conn
	closed func()
}

func (c conn) Close() error {
	c.closed()
	return nil
}

func serverFor(t *testing.T, role clusterpb.NodeRole) *member {
	t.Helper()
	spec := &clusterpb.NodeSpec{Labels: map[string]string{"zone": "x"}}
	store := &fakeStore{t: t, voters: make(map[string]string), state: storetest.State(t,
		state.CreateCluster(&raftpb.CreateCluster{Id: "c"}),
		state.PutNode(&raftpb.PutNode{Id: "n1", Role: role, Spec: spec, RaftAddr: "192.0.2.1:2377"}),
		state.PutNode(&raftpb.PutNode{Id: "n2", Role: clusterpb.NodeRole_NODE_ROLE_WORKER}))}
	m := &member{store: store}
	m.Server = &Server{
		Store: store,
		Dial: func(_ context.Context, addr string) (net.Conn, error) {
			m.dialed = append(m.dialed, addr)
			m.open++
			return conn{closed: func() { m.open-- }}, nil
		},
		Nodes: m,
	}
	return m
}

const (
	worker  = clusterpb.NodeRole_NODE_ROLE_WORKER
	manager = clusterpb.NodeRole_NODE_ROLE_MANAGER
)

// calls are all that a node may ask.
func (m *member) calls() map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"add manager": func(ctx context.Context) error {
			_, err := m.AddManager(ctx, &memberpb.AddManagerRequest{Addr: "192.0.2.9:2377"})
			return err
		},
		"introduce": func(ctx context.Context) error {
			_, err := m.Introduce(ctx, &memberpb.IntroduceRequest{Availability: clusterpb.NodeSpec_AVAILABILITY_PAUSE})
			return err
		},
		"drain": func(ctx context.Context) error {
			_, err := m.Drain(ctx, &memberpb.DrainRequest{})
			return err
		},
		"leave": func(ctx context.Context) error {
			_, err := m.Leave(ctx, &memberpb.LeaveRequest{})
			return err
		},
	}
}

func TestReachableManagerGetsItsVoteAndIsKnownByItsAddress(t *testing.T) {
	m := serverFor(t, manager)
	for range 2 { // one whose answer was lost is asked again
		if _, err := m.AddManager(by(t, "n1"), &memberpb.AddManagerRequest{Addr: "192.0.2.9:2377"}); err != nil {
			t.Fatal(err)
		}
		if want := map[string]string{"n1": "192.0.2.9:2377"}; !maps.Equal(m.store.voters, want) {
			t.Errorf("voters are %v, want %v", m.store.voters, want)
		}
		if got := m.store.node().GetRaftAddr(); got != "192.0.2.9:2377" {
			t.Errorf("its address is %s", got)
		}
	}
	if m.open != 0 || len(m.dialed) == 0 || m.dialed[0] != "192.0.2.9:2377" {
		t.Errorf("dialed %v, %d connections are left open", m.dialed, m.open)
	}
	if got := m.store.node().GetSpec().GetLabels()["zone"]; got != "x" {
		t.Errorf("its label is %q now", got)
	}
}

// A vote is given to none that cannot be counted on: the quorum would wait for it.
func TestNoVoteFor(t *testing.T) {
	refused := func(context.Context, string) (net.Conn, error) { return nil, errors.New("connection refused") }
	tests := map[string]struct {
		role clusterpb.NodeRole
		addr string
		dial func(context.Context, string) (net.Conn, error)
		is   func(error) bool
	}{
		"a worker":                  {worker, "127.0.0.1:1", nil, errdefs.IsPermissionDenied},
		"not an address":            {manager, "nowhere", nil, errdefs.IsInvalidArgument},
		"an address without a host": {manager, ":2377", nil, errdefs.IsInvalidArgument},
		"no address":                {manager, "", nil, errdefs.IsInvalidArgument},
		"nobody listens there":      {manager, "127.0.0.1:1", refused, errdefs.IsFailedPrecondition},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m := serverFor(t, tt.role)
			if tt.dial != nil {
				m.Dial = tt.dial
			}
			if _, err := m.AddManager(by(t, "n1"), &memberpb.AddManagerRequest{Addr: tt.addr}); !tt.is(err) {
				t.Errorf("error %v", err)
			}
			if len(m.store.voters) > 0 || m.store.proposals > 0 {
				t.Errorf("voters %v were added, %d commands proposed", m.store.voters, m.store.proposals)
			}
		})
	}
}

// A firewall that drops packets leaves the leader without an answer.
func TestNewManagerThatDoesNotAnswerIsGivenUpSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := serverFor(t, manager)
		m.Dial = func(ctx context.Context, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}
		start := time.Now()
		_, err := m.AddManager(by(t, "n1"), &memberpb.AddManagerRequest{Addr: "192.0.2.9:2377"})
		if !errdefs.IsFailedPrecondition(err) || time.Since(start) != reachTimeout {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
		if len(m.store.voters) > 0 {
			t.Errorf("voters %v were added", m.store.voters)
		}
	})
}

func TestManagerThatGotNoVoteKeepsItsAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := serverFor(t, manager)
		m.store.addVoter = func(ctx context.Context) error {
			<-ctx.Done()
			return context.Cause(ctx)
		}
		start := time.Now()
		_, err := m.AddManager(by(t, "n1"), &memberpb.AddManagerRequest{Addr: "192.0.2.9:2377"})
		if !errdefs.IsUnavailable(err) || time.Since(start) != joinTimeout {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
		if got := m.store.node().GetRaftAddr(); got != "192.0.2.1:2377" {
			t.Errorf("its address is %s", got)
		}
	})
}

func TestAvailabilityIsAllThatANodeSetsOfItself(t *testing.T) {
	const (
		active = clusterpb.NodeSpec_AVAILABILITY_ACTIVE
		pause  = clusterpb.NodeSpec_AVAILABILITY_PAUSE
		drain  = clusterpb.NodeSpec_AVAILABILITY_DRAIN
	)
	for name, role := range map[string]clusterpb.NodeRole{"a worker": worker, "a manager": manager} {
		t.Run(name, func(t *testing.T) {
			m := serverFor(t, role)
			for _, to := range []clusterpb.NodeSpec_Availability{pause, drain, active} {
				if _, err := m.Introduce(by(t, "n1"), &memberpb.IntroduceRequest{Availability: to}); err != nil {
					t.Fatal(err)
				}
				n := m.store.node()
				if n.GetSpec().GetAvailability() != to || n.GetSpec().GetLabels()["zone"] != "x" || n.GetRole() != role || n.GetRaftAddr() != "192.0.2.1:2377" {
					t.Errorf("introduced as %s, it is %v", to, n)
				}
				before := m.store.proposals
				if _, err := m.Introduce(by(t, "n1"), &memberpb.IntroduceRequest{Availability: to}); err != nil || m.store.proposals != before {
					t.Errorf("introduced as the same again: %d commands, %v", m.store.proposals-before, err)
				}
			}
		})
	}
}

// The CA registers a node without a spec.
func TestNodeThatWasOnlyRegisteredIsIntroduced(t *testing.T) {
	m := serverFor(t, worker)
	if _, err := m.Introduce(by(t, "n2"), &memberpb.IntroduceRequest{Availability: clusterpb.NodeSpec_AVAILABILITY_DRAIN}); err != nil {
		t.Fatal(err)
	}
	if n, _ := m.store.state.Node("n2"); n.GetSpec().GetAvailability() != clusterpb.NodeSpec_AVAILABILITY_DRAIN {
		t.Errorf("introduced as drained, it is %v", n)
	}
}

// A leaving node asks until none of its tasks runs any more.
func TestDrainCountsTheCallersTasksThatHaveNotEnded(t *testing.T) {
	m := serverFor(t, worker)
	for i, task := range []struct {
		node  string
		state clusterpb.TaskState
	}{
		{"n1", lifecycle.Running}, {"n1", lifecycle.Starting}, {"n1", lifecycle.Failed}, {"n1", lifecycle.Shutdown}, {"n2", lifecycle.Running},
	} {
		m.store.state = storetest.Apply(t, m.store.state, state.CreateTask(&clusterpb.Task{
			Id: fmt.Sprintf("t%d", i), NodeId: task.node, ServiceId: "s", Desired: lifecycle.Running, Status: &clusterpb.TaskStatus{State: task.state},
		}))
	}
	for _, want := range []uint32{2, 1, 0} {
		resp, err := m.Drain(by(t, "n1"), &memberpb.DrainRequest{})
		if err != nil || resp.GetTasks() != want || m.store.node().GetSpec().GetAvailability() != clusterpb.NodeSpec_AVAILABILITY_DRAIN {
			t.Errorf("%d tasks run on a node that is %s, %v; want %d", resp.GetTasks(), m.store.node().GetSpec().GetAvailability(), err, want)
		}
		if want > 0 {
			m.store.state = storetest.Apply(t, m.store.state,
				state.ObserveTask(fmt.Sprintf("t%d", want-1), &clusterpb.TaskStatus{State: lifecycle.Shutdown}))
		}
	}
	if m.store.proposals != 1 {
		t.Errorf("draining took %d commands, want one", m.store.proposals)
	}
}

// A leave whose answer was lost is asked again, by a node that is not known any more.
func TestLeaveForgetsTheCallerOnce(t *testing.T) {
	m := serverFor(t, worker)
	for range 2 {
		if _, err := m.Leave(by(t, "n1"), &memberpb.LeaveRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	if len(m.forgot) != 1 || m.forgot[0] != "n1" || m.asked[0] == "" {
		t.Errorf("forgot %v by requests %v", m.forgot, m.asked)
	}
	if _, known := m.store.state.Node("n2"); !known {
		t.Error("another node is gone too")
	}
}

func TestLeaveSaysWhyANodeHasToStay(t *testing.T) {
	m := serverFor(t, manager)
	m.stays = fmt.Errorf("the quorum would be lost: %w", errdefs.ErrFailedPrecondition)
	if _, err := m.Leave(by(t, "n1"), &memberpb.LeaveRequest{}); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("error %v", err)
	}
}

// A manager that has to stay is not drained either.
func TestDrainRefusesWhatLeaveWill(t *testing.T) {
	stays := fmt.Errorf("the quorum would be lost: %w", errdefs.ErrFailedPrecondition)
	tests := map[string]struct {
		role      clusterpb.NodeRole
		removable error
		refused   bool
	}{
		"a manager that has to stay": {manager, stays, true},
		"a manager without a vote":   {manager, errdefs.ErrNotFound, false},
		"a manager that may go":      {manager, nil, false},
		"a worker":                   {worker, stays, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m := serverFor(t, tt.role)
			m.store.removable = tt.removable
			_, err := m.Drain(by(t, "n1"), &memberpb.DrainRequest{})
			if errdefs.IsFailedPrecondition(err) != tt.refused || !tt.refused && err != nil {
				t.Errorf("error %v", err)
			}
			drained := m.store.node().GetSpec().GetAvailability() == clusterpb.NodeSpec_AVAILABILITY_DRAIN
			if drained == tt.refused {
				t.Errorf("drained %v, refused %v", drained, tt.refused)
			}
		})
	}
}

// Without a certificate of this cluster nothing is done, and nothing is said of
// whether the node is known: only Leave of a node that is gone succeeds.
func TestEveryCallIsTheCallersOwn(t *testing.T) {
	tests := map[string]struct {
		ctx    context.Context
		is     func(error) bool
		leaves bool
	}{
		"without a certificate": {t.Context(), errdefs.IsPermissionDenied, false},
		"by a node that left":   {by(t, "n9"), errdefs.IsNotFound, true},
	}
	for name, tt := range tests {
		m := serverFor(t, manager)
		for method, do := range m.calls() {
			t.Run(method+" "+name, func(t *testing.T) {
				if err := do(tt.ctx); method == "leave" && tt.leaves {
					if err != nil {
						t.Error(err)
					}
				} else if !tt.is(err) {
					t.Errorf("error %v", err)
				}
				if m.store.proposals > 0 || len(m.store.voters) > 0 || len(m.forgot) > 0 || len(m.dialed) > 0 {
					t.Errorf("%d commands, voters %v, forgot %v, dialed %v", m.store.proposals, m.store.voters, m.forgot, m.dialed)
				}
			})
		}
	}
}

func TestEveryCallSaysThatItIsNotCommitted(t *testing.T) {
	for method := range (&member{}).calls() {
		t.Run(method, func(t *testing.T) {
			m := serverFor(t, manager)
			m.store.propose = fmt.Errorf("not the leader: %w", errdefs.ErrUnavailable)
			if err := m.calls()[method](by(t, "n1")); !errdefs.IsUnavailable(err) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestIntroductionIsForTheBeginning: a node that was drained does not take
// itself back.
func TestIntroductionIsForTheBeginning(t *testing.T) {
	for _, later := range []time.Duration{time.Hour, -time.Hour} { // by the clock of another leader
		testIntroductionIsOver(t, later)
	}
}

func testIntroductionIsOver(t *testing.T, later time.Duration) {
	t.Helper()
	m := serverFor(t, worker)
	drained := clusterpb.NodeSpec_AVAILABILITY_DRAIN
	if _, err := m.Introduce(by(t, "n1"), &memberpb.IntroduceRequest{Availability: drained}); err != nil {
		t.Fatal(err)
	}
	n := m.store.node()
	// Time goes on with the cluster's next command.
	m.store.state = storetest.ApplyAt(t, m.store.state, n.GetCreatedAt().AsTime().Add(later), state.ObserveNode(&raftpb.ObserveNode{
		Id: "n1", Description: &clusterpb.NodeDescription{Hostname: "alpha"},
	}))
	_, err := m.Introduce(by(t, "n1"), &memberpb.IntroduceRequest{Availability: clusterpb.NodeSpec_AVAILABILITY_ACTIVE})
	if !errdefs.IsPermissionDenied(err) || m.store.node().GetSpec().GetAvailability() != drained {
		t.Errorf("%v, and it is %v", err, m.store.node().GetSpec())
	}
	if _, err := m.Introduce(by(t, "n1"), &memberpb.IntroduceRequest{Availability: drained}); err != nil {
		t.Errorf("saying what it is already: %v", err)
	}
}
