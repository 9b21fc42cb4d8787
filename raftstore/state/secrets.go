package state

import (
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
)

// KindSecrets is of the cluster's secrets, of which there is one set.
const KindSecrets Kind = "secrets"

func secretsKind() *kind[*clusterpb.ClusterSecrets] {
	return &kind[*clusterpb.ClusterSecrets]{
		name: KindSecrets,
		item: func(s *clusterpb.ClusterSecrets) *raftpb.SnapshotItem {
			return &raftpb.SnapshotItem{Kind: &raftpb.SnapshotItem_Secrets{Secrets: s}}
		},
		object: (*raftpb.SnapshotItem).GetSecrets,
	}
}

// Secrets returns what only managers may know, or nil before it was made.
func (s *State) Secrets() *clusterpb.ClusterSecrets { return s.secrets.one() }

// PutClusterSecrets creates the secrets when s.Version is 0, or replaces that
// version.
func PutClusterSecrets(s *clusterpb.ClusterSecrets) *raftpb.Change {
	return &raftpb.Change{Kind: &raftpb.Change_PutClusterSecrets{PutClusterSecrets: &raftpb.PutClusterSecrets{Secrets: s}}}
}

// putClusterSecrets creates the secrets at version 0, or replaces the version
// named.
func (tx *tx) putClusterSecrets(next *clusterpb.ClusterSecrets) error {
	old := tx.secrets.one()
	if err := checkVersion("the secrets of the cluster", old != nil, old.GetVersion(), next.GetVersion()); err != nil {
		return err
	}
	next = shallow(next)
	next.Version = tx.index
	set(tx, &tx.secrets, next)
	return nil
}
