package state

import (
	"time"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
)

// State is the whole cluster after one log entry. It is immutable, and so are
// the objects it hands out: clone before changing one.
type State struct {
	// Index of the last command in it; 0 before the first.
	Index uint64
	// Time is when the leader proposed that command, by the leader's clock.
	// It may step back when another member takes the lead.
	Time time.Time

	cluster  *clusterpb.Cluster        // nil before the first PutCluster
	secrets  *clusterpb.ClusterSecrets // likewise
	nodes    table[*clusterpb.Node]
	services table[*clusterpb.Service]
	tasks    table[*clusterpb.Task]
	requests table[*raftpb.AppliedRequest]
}

// NewState returns the state before the first command.
func NewState() *State {
	return &State{nodes: nodeTable(), services: serviceTable(), tasks: taskTable(), requests: requestTable()}
}

// tx builds the State that follows base.
type tx struct {
	index uint64
	now   time.Time // when the command was proposed, not when it is applied

	cluster  *clusterpb.Cluster
	secrets  *clusterpb.ClusterSecrets
	nodes    tableTx[*clusterpb.Node]
	services tableTx[*clusterpb.Service]
	tasks    tableTx[*clusterpb.Task]
	requests tableTx[*raftpb.AppliedRequest]

	touched []Ref
}

func (s *State) begin(index uint64, now time.Time) *tx {
	return &tx{
		index:    index,
		now:      now,
		cluster:  s.cluster,
		secrets:  s.secrets,
		nodes:    s.nodes.begin(),
		services: s.services.begin(),
		tasks:    s.tasks.begin(),
		requests: s.requests.begin(),
	}
}

func (tx *tx) commit() *State {
	return &State{
		Index:    tx.index,
		Time:     tx.now,
		cluster:  tx.cluster,
		secrets:  tx.secrets,
		nodes:    tx.nodes.commit(),
		services: tx.services.commit(),
		tasks:    tx.tasks.commit(),
		requests: tx.requests.commit(),
	}
}

func (tx *tx) touch(r Ref) { tx.touched = append(tx.touched, r) }
