package controlapi

import (
	"context"

	"google.golang.org/grpc"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore"
	"github.com/muster/muster/raftstore/state"
)

// Store is what the API needs of the replicated state.
type Store interface {
	State() *state.State
	Subscribe() *raftstore.Subscription
	ProposeRequest(ctx context.Context, requestID string, changes ...*raftpb.Change) (objectID string, err error)
}

// Members is what the API needs of the raft membership.
type Members interface {
	// Leader returns the node that leads and its raft address, empty when none does.
	Leader() (nodeID, addr string)
	// Reachable tells for each voter whether the leader reaches it.
	Reachable() map[string]bool
	// RemoveMember takes a voter out; it refuses to lose the quorum.
	RemoveMember(ctx context.Context, nodeID string) error
}

// Images finds out which content an image reference stands for.
type Images interface {
	Resolve(ctx context.Context, s *state.State, image, auth string) (*clusterpb.ResolvedImage, error)
}

// Server implements the services of clusters, nodes, services and tasks.
type Server struct {
	controlpb.UnimplementedClusterServiceServer
	controlpb.UnimplementedNodeServiceServer
	controlpb.UnimplementedServiceServiceServer
	controlpb.UnimplementedTaskServiceServer

	Store   Store
	Members Members
	Images  Images
	// Gossip tells what membership gossip says of each node, by node id.
	Gossip func() map[string]string
}

// Register registers everything that the API answers.
func (s *Server) Register(r grpc.ServiceRegistrar) {
	controlpb.RegisterClusterServiceServer(r, s)
	controlpb.RegisterNodeServiceServer(r, s)
	controlpb.RegisterServiceServiceServer(r, s)
	controlpb.RegisterTaskServiceServer(r, s)
}

// answered returns what an earlier request with this id was answered, so that
// a retried create does not trip over its own name.
func (s *Server) answered(requestID string) (earlier state.Outcome, ok bool) {
	applied, ok := s.Store.State().Applied(requestID)
	if !ok {
		return earlier, false
	}
	return state.Outcome{ObjectID: applied.GetObjectId(), Err: state.AppliedError(applied)}, true
}
