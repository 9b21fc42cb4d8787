// Package membership lets nodes that have a certificate become voters, hand
// their work over, and take their leave. It runs on the leader.
package membership

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"

	"github.com/muster/muster/proto/call"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/id"
	"github.com/muster/muster/proto/lifecycle"
	memberpb "github.com/muster/muster/proto/member/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
)

// Store is what membership needs of the replicated state.
type Store interface {
	State() *state.State
	Propose(ctx context.Context, changes ...*raftpb.Change) error
	AddVoter(ctx context.Context, nodeID, addr string) error
	// Removable returns why a manager's vote could not be taken from it now:
	// NotFound when it has none.
	Removable(nodeID string) error
}

// Nodes removes nodes from the cluster; api.API does.
type Nodes interface {
	// Forget takes a node's vote, entry and certificate from it.
	Forget(ctx context.Context, requestID string, n *clusterpb.Node) error
}

// Server implements MemberService.
type Server struct {
	memberpb.UnimplementedMemberServiceServer

	Store Store
	Nodes Nodes
	// Dial connects to a port of a node, HOST:PORT, to find out whether this
	// manager reaches it.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
}

var _ memberpb.MemberServiceServer = (*Server)(nil)

// joinTimeout bounds adding a voter: the new manager must be reachable, or
// the quorum would count on one that never answers.
const joinTimeout = 40 * time.Second

// AddManager makes the caller a voter.
func (s *Server) AddManager(ctx context.Context, r *memberpb.AddManagerRequest) (*memberpb.AddManagerResponse, error) {
	n, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	if n.GetRole() != clusterpb.NodeRole_NODE_ROLE_MANAGER {
		return nil, fmt.Errorf("node %s is a worker: only managers vote: %w", n.GetId(), errdefs.ErrPermissionDenied)
	}
	if err := s.reach(ctx, r.GetAddr()); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, joinTimeout,
		fmt.Errorf("adding manager %s took longer than %s: %w", r.GetAddr(), joinTimeout, errdefs.ErrUnavailable))
	defer cancel()
	if err := s.Store.AddVoter(ctx, n.GetId(), r.GetAddr()); err != nil {
		return nil, err
	}
	change := state.ObserveNode(&raftpb.ObserveNode{Id: n.GetId(), RaftAddr: r.GetAddr()})
	if err := s.Store.Propose(ctx, change); err != nil {
		return nil, err
	}
	return &memberpb.AddManagerResponse{}, nil
}

// reachTimeout bounds connecting to a new manager.
const reachTimeout = 5 * time.Second

// reach refuses an address that this manager cannot connect to.
func (s *Server) reach(ctx context.Context, addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil || host == "" {
		return fmt.Errorf("manager address %q: use HOST:PORT: %w", addr, errdefs.ErrInvalidArgument)
	}
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	conn, err := s.Dial(ctx, addr)
	if err != nil {
		return fmt.Errorf("the leader cannot reach the new manager at %s (%w): check --advertise-addr and the firewall: %w",
			addr, err, errdefs.ErrFailedPrecondition)
	}
	return conn.Close()
}

// Drain asks the orchestrators to move the caller's tasks and says how many
// still run. It refuses what Leave would: a node that has to stay keeps its tasks.
func (s *Server) Drain(ctx context.Context, _ *memberpb.DrainRequest) (*memberpb.DrainResponse, error) {
	n, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	if n.GetRole() == clusterpb.NodeRole_NODE_ROLE_MANAGER {
		if err := s.Store.Removable(n.GetId()); err != nil && !errdefs.IsNotFound(err) {
			return nil, err
		}
	}
	if err := s.makeAvailable(ctx, n, clusterpb.NodeSpec_AVAILABILITY_DRAIN); err != nil {
		return nil, err
	}
	resp := &memberpb.DrainResponse{}
	for t := range s.Store.State().TasksOn(n.GetId()) {
		if !lifecycle.Ended(t.GetStatus().GetState()) {
			resp.Tasks++
		}
	}
	return resp, nil
}

// introduction is how long after its certificate was issued a node may say how
// it begins: joining is bounded.
const introduction = 5 * time.Minute

// Introduce sets the availability that the caller was told to begin with. That
// is for its beginning alone: later it is for administrators to say.
func (s *Server) Introduce(ctx context.Context, r *memberpb.IntroduceRequest) (*memberpb.IntroduceResponse, error) {
	n, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	// Created in the future: by a leader whose clock was ahead, whenever that was.
	if known := s.Store.State().Time.Sub(n.GetCreatedAt().AsTime()).Abs(); known > introduction && n.GetSpec().GetAvailability() != r.GetAvailability() {
		return nil, fmt.Errorf("node %s has been part of the cluster for a while: its availability is changed by \"muster node update\": %w",
			n.GetId(), errdefs.ErrPermissionDenied)
	}
	return &memberpb.IntroduceResponse{}, s.makeAvailable(ctx, n, r.GetAvailability())
}

func (s *Server) makeAvailable(ctx context.Context, n *clusterpb.Node, to clusterpb.NodeSpec_Availability) error {
	if n.GetSpec().GetAvailability() == to {
		return nil
	}
	next := proto.CloneOf(n.GetSpec())
	if next == nil {
		next = &clusterpb.NodeSpec{}
	}
	next.Availability = to
	return s.Store.Propose(ctx, state.PutNode(&raftpb.PutNode{
		Id: n.GetId(), Version: n.GetVersion(), Spec: next, Role: n.GetRole(), RaftAddr: n.GetRaftAddr(),
	}))
}

// Leave forgets the caller.
func (s *Server) Leave(ctx context.Context, _ *memberpb.LeaveRequest) (*memberpb.LeaveResponse, error) {
	n, err := s.caller(ctx)
	if errdefs.IsNotFound(err) {
		return &memberpb.LeaveResponse{}, nil // an earlier call got through
	}
	if err != nil {
		return nil, err
	}
	if err := s.Nodes.Forget(ctx, id.New(), n); err != nil {
		return nil, err
	}
	return &memberpb.LeaveResponse{}, nil
}

func (s *Server) caller(ctx context.Context) (*clusterpb.Node, error) {
	nodeID, err := call.Node(ctx)
	if err != nil {
		return nil, err
	}
	n, ok := s.Store.State().Node(nodeID)
	if !ok {
		return nil, fmt.Errorf("node %s is not in the cluster: %w", nodeID, errdefs.ErrNotFound)
	}
	return n, nil
}
