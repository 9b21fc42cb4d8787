package state_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/raftstore/state"
	"github.com/muster/muster/raftstore/storetest"
)

func TestRotationLeavesTheOtherSecrets(t *testing.T) {
	s := storetest.State(t, cluster())
	made := timestamppb.New(s.Time)
	check := func(want *clusterpb.ClusterSecrets) {
		t.Helper()
		want.RootCaKey = []byte("key")
		if d := cmp.Diff(want, s.Secrets(), protocmp.Transform()); d != "" {
			t.Errorf("secrets (-want +got):\n%s", d)
		}
	}
	check(&clusterpb.ClusterSecrets{Version: 1, WorkerSecret: "w", ManagerSecret: "m", GossipKeys: [][]byte{{1}}, GossipKeysAt: made})
	s = storetest.Apply(t, s, state.RotateJoinSecret(clusterpb.NodeRole_NODE_ROLE_MANAGER, "m2"))
	check(&clusterpb.ClusterSecrets{Version: 2, WorkerSecret: "w", ManagerSecret: "m2", GossipKeys: [][]byte{{1}}, GossipKeysAt: made})
	s = storetest.Apply(t, s, state.RotateGossipKeys(2, [][]byte{{2}, {3}}))
	check(&clusterpb.ClusterSecrets{
		Version: 3, WorkerSecret: "w", ManagerSecret: "m2", GossipKeys: [][]byte{{2}, {3}}, GossipKeysAt: timestamppb.New(s.Time),
	})
}
