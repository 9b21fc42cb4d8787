package state

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

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
		setBack: func(old *clusterpb.ClusterSecrets, by time.Duration) *clusterpb.ClusterSecrets {
			s := shallow(old)
			earlier(by, &s.GossipKeysAt)
			return s
		},
	}
}

// Secrets returns what only managers may know, or nil before it was made.
func (s *State) Secrets() *clusterpb.ClusterSecrets { return s.secrets.one() }

// RotateJoinSecret replaces the secret with which nodes join in a role.
func RotateJoinSecret(role clusterpb.NodeRole, secret string) *raftpb.Change {
	return &raftpb.Change{Kind: &raftpb.Change_RotateJoinSecret{
		RotateJoinSecret: &raftpb.RotateJoinSecret{Role: role, Secret: secret},
	}}
}

// RotateGossipKeys replaces the gossip keys of that version of the secrets.
func RotateGossipKeys(version uint64, keys [][]byte) *raftpb.Change {
	return &raftpb.Change{Kind: &raftpb.Change_RotateGossipKeys{
		RotateGossipKeys: &raftpb.RotateGossipKeys{Version: version, Keys: keys},
	}}
}

func (tx *tx) rotateJoinSecret(r *raftpb.RotateJoinSecret) error {
	old := tx.secrets.one()
	if old == nil {
		return noCluster()
	}
	next := shallow(old)
	switch r.GetRole() {
	case clusterpb.NodeRole_NODE_ROLE_WORKER:
		next.WorkerSecret = r.GetSecret()
	case clusterpb.NodeRole_NODE_ROLE_MANAGER:
		next.ManagerSecret = r.GetSecret()
	default:
		return refuse(invalid, "role %s: use worker or manager", r.GetRole())
	}
	tx.setSecrets(next)
	return nil
}

func (tx *tx) rotateGossipKeys(r *raftpb.RotateGossipKeys) error {
	old := tx.secrets.one()
	if old == nil {
		return noCluster()
	}
	if err := checkVersion("the set of secrets", old.GetVersion(), r.GetVersion()); err != nil {
		return err
	}
	next := shallow(old)
	next.GossipKeys, next.GossipKeysAt = r.GetKeys(), timestamppb.New(tx.now)
	if next.GossipRotationsDue > 0 {
		next.GossipRotationsDue--
	}
	tx.setSecrets(next)
	return nil
}

// outdateGossipKeys says that somebody knows all gossip keys who may not. Each
// rotation makes one new, and they are three at most.
func outdateGossipKeys(tx *tx) {
	old := tx.secrets.one()
	if old == nil {
		return
	}
	const keys = 3
	next := shallow(old)
	next.GossipRotationsDue = keys
	tx.setSecrets(next)
}

func (tx *tx) setSecrets(s *clusterpb.ClusterSecrets) {
	s.Version = tx.index
	set(tx, &tx.secrets, s)
}
