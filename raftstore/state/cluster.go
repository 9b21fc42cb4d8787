package state

import (
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// Cluster returns the cluster object, or nil before the cluster was made.
func (s *State) Cluster() *clusterpb.Cluster { return s.cluster }

// Secrets returns what only managers may know, or nil before it was made.
func (s *State) Secrets() *clusterpb.ClusterSecrets { return s.secrets }

// putCluster creates the cluster at version 0, or replaces the version named.
// What is fixed at creation and what the state machine keeps itself stays.
func (tx *tx) putCluster(next *clusterpb.Cluster) error {
	old := tx.cluster
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
	tx.setCluster(next)
	return nil
}

func (tx *tx) setCluster(c *clusterpb.Cluster) {
	tx.cluster = c
	tx.touch(Ref{Kind: KindCluster})
}

// putClusterSecrets creates the secrets at version 0, or replaces the version
// named.
func (tx *tx) putClusterSecrets(next *clusterpb.ClusterSecrets) error {
	old := tx.secrets
	if err := checkVersion("the secrets of the cluster", old != nil, old.GetVersion(), next.GetVersion()); err != nil {
		return err
	}
	next = shallow(next)
	next.Version = tx.index
	tx.secrets = next
	tx.touch(Ref{Kind: KindSecrets})
	return nil
}

// removed reports whether the node was removed and its certificate may still
// be valid.
func (tx *tx) removed(nodeID string) bool {
	return slices.ContainsFunc(tx.cluster.GetRemovedNodes(), func(r *clusterpb.RemovedNode) bool {
		return r.GetId() == nodeID && r.GetExpiresAt().AsTime().After(tx.now)
	})
}

// bar keeps a removed node out until its certificate has expired, and forgets
// those whose has: the list would grow for ever otherwise.
func (tx *tx) bar(nodeID string, expiresAt *timestamppb.Timestamp) {
	if tx.cluster == nil {
		return
	}
	c := shallow(tx.cluster)
	c.RemovedNodes = nil
	for _, r := range tx.cluster.GetRemovedNodes() {
		if r.GetId() != nodeID && r.GetExpiresAt().AsTime().After(tx.now) {
			c.RemovedNodes = append(c.RemovedNodes, r)
		}
	}
	c.RemovedNodes = append(c.RemovedNodes, &clusterpb.RemovedNode{Id: nodeID, ExpiresAt: expiresAt})
	tx.setCluster(c)
}
