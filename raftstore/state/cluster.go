package state

import (
	"slices"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/proto/spec"
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

// CreateCluster founds the cluster and makes its secrets.
func CreateCluster(c *raftpb.CreateCluster) *raftpb.Change {
	return &raftpb.Change{Kind: &raftpb.Change_CreateCluster{CreateCluster: c}}
}

// PutClusterSpec replaces the cluster's spec at the version named.
func PutClusterSpec(version uint64, next *clusterpb.ClusterSpec) *raftpb.Change {
	return &raftpb.Change{Kind: &raftpb.Change_PutClusterSpec{
		PutClusterSpec: &raftpb.PutClusterSpec{Version: version, Spec: next},
	}}
}

func (tx *tx) createCluster(c *raftpb.CreateCluster) error {
	if tx.cluster.one() != nil {
		return refuse(alreadyExists, "the cluster exists already")
	}
	now := timestamppb.New(tx.now)
	set(tx, &tx.cluster, &clusterpb.Cluster{
		Id:           c.GetId(),
		Version:      tx.index,
		CreatedAt:    now,
		UpdatedAt:    now,
		Spec:         c.GetSpec(),
		RootCa:       c.GetRootCa(),
		DataPathPort: c.GetDataPathPort(),
	})
	set(tx, &tx.secrets, &clusterpb.ClusterSecrets{
		Version:       tx.index,
		RootCaKey:     c.GetRootCaKey(),
		WorkerSecret:  c.GetWorkerSecret(),
		ManagerSecret: c.GetManagerSecret(),
		GossipKeys:    c.GetGossipKeys(),
		GossipKeysAt:  now,
	})
	return nil
}

func (tx *tx) putClusterSpec(p *raftpb.PutClusterSpec) error {
	old := tx.cluster.one()
	if old == nil {
		return noCluster()
	}
	if err := checkVersion("the cluster", old.GetVersion(), p.GetVersion()); err != nil {
		return err
	}
	c := shallow(old)
	c.Spec = p.GetSpec()
	if longest := spec.LongestCertExpiry(old); longest > spec.CertExpiry(p.GetSpec()) {
		c.LongestCertExpiry = durationpb.New(longest)
	}
	c.Version = tx.index
	c.UpdatedAt = timestamppb.New(tx.now)
	set(tx, &tx.cluster, c)
	return nil
}

func noCluster() error { return refuse(notFound, "there is no cluster yet") }

// revoked reports whether the node was removed and its certificate may still
// be valid.
func (tx *tx) revoked(nodeID string) bool {
	return slices.ContainsFunc(tx.cluster.one().GetRemovedNodes(), func(r *clusterpb.RemovedNode) bool {
		return r.GetId() == nodeID && r.GetExpiresAt().AsTime().After(tx.now)
	})
}

// maxRemovedNodes bounds how many removed nodes are remembered. Whoever knows the
// token can join and leave as often as it likes, and certificates live for months.
// A node that is not remembered is none of the cluster's all the same: the leader goes
// by the nodes that there are.
const maxRemovedNodes = 4_000

// revoke keeps a removed node out until its certificate has expired, and
// forgets those whose has: the list would grow for ever otherwise.
func (tx *tx) revoke(nodeID string, expiresAt *timestamppb.Timestamp) {
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
	c.RemovedNodes = c.GetRemovedNodes()[max(0, len(c.GetRemovedNodes())-maxRemovedNodes):]
	set(tx, &tx.cluster, c)
}
