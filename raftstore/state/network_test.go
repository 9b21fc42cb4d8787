package state_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
	"github.com/muster/muster/raftstore/storetest"
)

func TestNetworks(t *testing.T) {
	s := storetest.State(t, network("x2", "back"), network("x1", "front", "10.0.0.0/16", "fd00::/64"))
	now := timestamppb.New(storetest.Start())
	want := []*clusterpb.Network{
		{
			Id: "x1", Version: 1, CreatedAt: now, UpdatedAt: now,
			Spec: &clusterpb.NetworkSpec{Name: "front"}, Subnets: []string{"10.0.0.0/16", "fd00::/64"},
		},
		{Id: "x2", Version: 1, CreatedAt: now, UpdatedAt: now, Spec: &clusterpb.NetworkSpec{Name: "back"}},
	}
	if d := cmp.Diff(want, slices.Collect(s.Networks()), protocmp.Transform()); d != "" {
		t.Errorf("networks (-want +got):\n%s", d)
	}
	if n, ok := s.Network("x1"); !ok || n.GetSpec().GetName() != "front" {
		t.Errorf("x1 is %v", n)
	}
	if n, ok := s.Network("front"); ok {
		t.Errorf("found %v by a name", n)
	}
}

func TestNetworkGolden(t *testing.T) {
	s := restoreGolden(t, "network", commands([][]*raftpb.Change{
		{network("x1", "front", "10.0.0.0/16", "fd00::/64"), network("x2", "back", "10.1.0.0/16")},
		{network("x3", "other", "10.1.2.0/24")}, // refused
		{node("n1"), task("t1", "s1"), state.AssignTask("t1", "n1", []*clusterpb.Attachment{
			{NetworkId: "x1", Addresses: []string{"10.0.0.2", "fd00::2"}}, {NetworkId: "x2", Addresses: []string{"10.1.0.2"}},
		})},
	}))
	if n := len(slices.Collect(s.Networks())); n != 2 {
		t.Errorf("%d networks restored, want 2", n)
	}
	if got := slices.Collect(s.Addresses()); !slices.Equal(got, []string{"10.0.0.2", "10.1.0.2", "fd00::2"}) {
		t.Errorf("addresses in use %q, want those in both networks", got)
	}
}
