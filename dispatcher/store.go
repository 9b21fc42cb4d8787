package dispatcher

import (
	"context"
	"iter"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore"
	"github.com/muster/muster/raftstore/state"
)

// Store is what the dispatcher needs of the replicated state.
type Store interface {
	State() *state.State
	Subscribe() *raftstore.Subscription
	Propose(ctx context.Context, changes ...*raftpb.Change) error
}

// view is one immutable state of the cluster, as assignments are made from
// it. The objects it hands out are never changed.
type view interface {
	Cluster() *clusterpb.Cluster
	Secrets() *clusterpb.ClusterSecrets
	Nodes() iter.Seq[*clusterpb.Node]
	Node(id string) (*clusterpb.Node, bool)
	Services() iter.Seq[*clusterpb.Service]
	Service(id string) (*clusterpb.Service, bool)
	Task(id string) (*clusterpb.Task, bool)
	Tasks() iter.Seq[*clusterpb.Task]
	TasksOf(serviceID string) iter.Seq[*clusterpb.Task]
	TasksOn(nodeID string) iter.Seq[*clusterpb.Task]
}
