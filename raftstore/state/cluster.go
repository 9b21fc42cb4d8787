package state

import (
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
)

// KindCluster is of the cluster itself, of which there is one.
const KindCluster Kind = "cluster"

func clusterKind() *kind[*clusterpb.Cluster] {
	return &kind[*clusterpb.Cluster]{
		name: KindCluster,
		item: func(c *clusterpb.Cluster) *raftpb.SnapshotItem {
			return &raftpb.SnapshotItem{Kind: &raftpb.SnapshotItem_Cluster{Cluster: c}}
		},
		object: (*raftpb.SnapshotItem).GetCluster,
	}
}

// Cluster returns the cluster object, or nil before the cluster was made.
func (s *State) Cluster() *clusterpb.Cluster { return s.cluster.one() }

// PutCluster creates the cluster when c.Version is 0, or replaces that version.
func PutCluster(c *clusterpb.Cluster) *raftpb.Change {
	return &raftpb.Change{Kind: &raftpb.Change_PutCluster{PutCluster: &raftpb.PutCluster{Cluster: c}}}
}

// putCluster creates the cluster at version 0, or replaces the version named.
// What is fixed at creation and what the state machine keeps itself stays.
func (tx *tx) putCluster(next *clusterpb.Cluster) error {
	old := tx.cluster.one()
	if err := checkVersion("the cluster", old != nil, old.GetVersion(), next.GetVersion()); err != nil {
		return err
	}
	next = shallow(next)
	next.CreatedAt = timestamppb.New(tx.now)
	if old != nil {
		next.Id = old.GetId()
		next.CreatedAt = old.GetCreatedAt()
		next.DataPathPort = old.GetDataPathPort()
		next.LastNodeIndex = old.GetLastNodeIndex()
		next.RemovedNodes = old.GetRemovedNodes()
	}
	next.Version = tx.index
	next.UpdatedAt = timestamppb.New(tx.now)
	set(tx, &tx.cluster, next)
	return nil
}

// removed reports whether the node was removed and its certificate may still
// be valid.
func (tx *tx) removed(nodeID string) bool {
	return slices.ContainsFunc(tx.cluster.one().GetRemovedNodes(), func(r *clusterpb.RemovedNode) bool {
		return r.GetId() == nodeID && r.GetExpiresAt().AsTime().After(tx.now)
	})
}

// bar keeps a removed node out until its certificate has expired, and forgets
// those whose has: the list would grow for ever otherwise.
func (tx *tx) bar(nodeID string, expiresAt *timestamppb.Timestamp) {
	old := tx.cluster.one()
	if old == nil {
		return
	}
	c := shallow(old)
	c.RemovedNodes = nil
	for _, r := range old.GetRemovedNodes() {
		if r.GetId() != nodeID && r.GetExpiresAt().AsTime().After(tx.now) {
			c.RemovedNodes = append(c.RemovedNodes, r)
		}
	}
	c.RemovedNodes = append(c.RemovedNodes, &clusterpb.RemovedNode{Id: nodeID, ExpiresAt: expiresAt})
	set(tx, &tx.cluster, c)
}
