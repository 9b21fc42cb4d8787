package node_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/muster/muster/manager/api/apitest"
	"github.com/muster/muster/manager/api/node"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/page"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/proto/spec"
	"github.com/muster/muster/raftstore/state"
	"github.com/muster/muster/raftstore/storetest"
)

const (
	worker  = clusterpb.NodeRole_NODE_ROLE_WORKER
	manager = clusterpb.NodeRole_NODE_ROLE_MANAGER
	ready   = clusterpb.NodeStatus_STATE_READY
	down    = clusterpb.NodeStatus_STATE_DOWN
)

// members are the voters m1, which leads, and m2, which does not answer.
type members struct {
	removed []string
	refuse  error
}

func (m *members) Leader() (string, string)   { return "m1", "192.0.2.1:2377" }
func (m *members) Reachable() map[string]bool { return map[string]bool{"m1": true} }

func (m *members) RemoveMember(_ context.Context, id string) error {
	if m.refuse != nil {
		return m.refuse
	}
	if slices.Contains(m.removed, id) {
		return fmt.Errorf("no member %s: %w", id, errdefs.ErrNotFound)
	}
	m.removed = append(m.removed, id)
	return nil
}

// serve has managers m1 and m2 (down), and workers w1 and w2 (down).
func serve(t *testing.T) (*apitest.Store, *members, *node.Server) {
	t.Helper()
	changes := []*raftpb.Change{state.CreateCluster(&raftpb.CreateCluster{Id: "c1", Spec: &clusterpb.ClusterSpec{}})}
	for _, n := range []struct {
		id    string
		role  clusterpb.NodeRole
		state clusterpb.NodeStatus_State
	}{{"m1", manager, ready}, {"m2", manager, down}, {"w1", worker, ready}, {"w2", worker, down}} {
		changes = append(changes,
			state.PutNode(&raftpb.PutNode{Id: n.id, Role: n.role, RaftAddr: n.id + ":2377", Spec: &clusterpb.NodeSpec{}}),
			state.ObserveNode(&raftpb.ObserveNode{
				Id: n.id, Description: &clusterpb.NodeDescription{Hostname: "host-" + n.id}, Status: &clusterpb.NodeStatus{State: n.state},
			}))
	}
	store, m := apitest.New(t, changes...), &members{}
	return store, m, &node.Server{Store: store, Members: m, Gossip: func() map[string]string { return map[string]string{"w1": "alive"} }}
}

func TestViews(t *testing.T) {
	_, _, server := serve(t)
	list, err := server.ListNodes(t.Context(), &controlpb.ListNodesRequest{})
	if err != nil || len(list.GetNodes()) != 4 {
		t.Fatalf("%v, %v", list, err)
	}
	const unreachable, reachable = controlpb.NodeView_REACHABILITY_UNREACHABLE, controlpb.NodeView_REACHABILITY_REACHABLE
	want := map[string]*controlpb.NodeView{
		"m1": {Leader: true, Manager: reachable}, "m2": {Manager: unreachable}, "w1": {Gossip: "alive"}, "w2": {},
	}
	for _, v := range list.GetNodes() {
		id := v.GetNode().GetId()
		if w := want[id]; v.GetLeader() != w.GetLeader() || v.GetManager() != w.GetManager() || v.GetGossip() != w.GetGossip() {
			t.Errorf("%s is shown as %v", id, v)
		}
	}
	got, err := server.GetNode(t.Context(), &controlpb.GetNodeRequest{Node: "host-m1"})
	if err != nil || got.GetNode().GetNode().GetId() != "m1" || !got.GetNode().GetLeader() {
		t.Errorf("by host: %v, %v", got, err)
	}
	if _, err := server.GetNode(t.Context(), &controlpb.GetNodeRequest{Node: "nope"}); !errdefs.IsNotFound(err) {
		t.Errorf("an unknown one: %v", err)
	}
}

// TestPagesOfNodes: nodes come a page at a time.
func TestPagesOfNodes(t *testing.T) {
	_, _, server := serve(t)
	var pages []string
	_, err := page.All(func(token string) ([]*controlpb.NodeView, string, error) {
		r, err := server.ListNodes(t.Context(), &controlpb.ListNodesRequest{PageSize: 3, PageToken: token})
		var ids []string
		for _, v := range r.GetNodes() {
			ids = append(ids, v.GetNode().GetId())
		}
		pages = append(pages, strings.Join(ids, " "))
		return r.GetNodes(), r.GetNextPageToken(), err
	})
	if err != nil || !slices.Equal(pages, []string{"m1 m2 w1", "w2"}) {
		t.Errorf("pages %q, %v", pages, err)
	}
	if _, err := server.ListNodes(t.Context(), &controlpb.ListNodesRequest{PageSize: -1}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("a page of -1: %v", err)
	}
}

func TestUpdateNode(t *testing.T) {
	drain := &clusterpb.NodeSpec{Availability: clusterpb.NodeSpec_AVAILABILITY_DRAIN}
	tests := map[string]struct {
		ref    string
		spec   *clusterpb.NodeSpec
		pinned bool
		old    bool
		races  int
		kind   func(error) bool
	}{
		"by id":                       {ref: "w1", spec: drain},
		"by host":                     {ref: "host-w1", spec: drain},
		"at the version seen":         {ref: "w1", spec: drain, pinned: true},
		"at an old version":           {ref: "w1", spec: drain, pinned: true, old: true, kind: errdefs.IsConflict},
		"another is faster":           {ref: "w1", spec: drain, races: 3},
		"another is faster, and seen": {ref: "w1", spec: drain, pinned: true, races: 1, kind: errdefs.IsConflict},
		"unknown":                     {ref: "nope", spec: drain, kind: errdefs.IsNotFound},
		"several":                     {ref: "w", spec: drain, kind: errdefs.IsInvalidArgument},
		"what may not be":             {ref: "w1", spec: &clusterpb.NodeSpec{Labels: map[string]string{"": "x"}}, kind: errdefs.IsInvalidArgument},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			store, _, server := serve(t)
			label := func(st *state.State) *raftpb.Change {
				n, _ := st.Node("w1")
				return state.PutNode(&raftpb.PutNode{Id: "w1", Version: n.GetVersion(), Role: worker, RaftAddr: n.GetRaftAddr(), Spec: &clusterpb.NodeSpec{Labels: map[string]string{"a": fmt.Sprint(st.Index)}}})
			}
			r := &controlpb.UpdateNodeRequest{Node: tt.ref, Spec: tt.spec}
			if tt.pinned {
				n, _ := store.State().Node("w1")
				r.Version = n.GetVersion()
			}
			if tt.old {
				store.Commit(label(store.State()))
			}
			for range tt.races {
				store.Races = append(store.Races, label)
			}
			ctx := apitest.Request(t, "r1")
			resp, err := server.UpdateNode(ctx, r)
			again, repeated := server.UpdateNode(ctx, r)
			if tt.kind != nil {
				if err == nil || !tt.kind(err) || repeated == nil || repeated.Error() != err.Error() {
					t.Errorf("got %v, repeated %v", err, repeated)
				}
				return
			}
			n := resp.GetNode()
			if err != nil || n.GetSpec().GetAvailability() != drain.GetAvailability() || n.GetRole() != worker || n.GetRaftAddr() != "w1:2377" {
				t.Errorf("got %v, %v", n, err)
			}
			if repeated != nil || again.GetNode().GetVersion() != n.GetVersion() {
				t.Errorf("repeated: %v, %v", again, repeated)
			}
		})
	}
}

func TestRemoveNode(t *testing.T) {
	tests := map[string]struct {
		ref     string
		force   bool
		refuse  error  // of the raft membership
		refused string // "" when removed
		vote    bool   // it had one
	}{
		"down worker":              {ref: "host-w2"},
		"ready worker":             {ref: "w1", refused: `node host-w1 is connected: run "muster swarm leave" on it, or remove it with --force`},
		"ready worker, forced":     {ref: "w1", force: true},
		"down manager":             {ref: "m2", refused: "node host-m2 is a manager: remove it with --force"},
		"down manager, forced":     {ref: "m2", force: true, vote: true},
		"the quorum would be lost": {ref: "m2", force: true, refuse: errors.New("the quorum"), refused: "the quorum"},
		"the leader":               {ref: "m1", force: true, refused: "node host-m1 leads the cluster"},
		"unknown":                  {ref: "nope", refused: `no node "nope"`},
		"several":                  {ref: "m", force: true, refused: "ambiguous"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			store, m, server := serve(t)
			m.refuse = tt.refuse
			ctx, r := apitest.Request(t, "r1"), &controlpb.RemoveNodeRequest{Node: tt.ref, Force: tt.force}
			resp, err := server.RemoveNode(ctx, r)
			if tt.refused != "" {
				if err == nil || !strings.Contains(err.Error(), tt.refused) || store.Proposals != 0 || len(m.removed) != 0 {
					t.Errorf("got %v after %d writes, want it refused: %s", err, store.Proposals, tt.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, there := store.State().Node(resp.GetId()); there || tt.vote != slices.Contains(m.removed, resp.GetId()) {
				t.Errorf("node %s: there %v, votes taken %v", resp.GetId(), there, m.removed)
			}
			revoked(t, store.State(), resp.GetId())
			again, err := server.RemoveNode(ctx, r)
			if err != nil || again.GetId() != resp.GetId() {
				t.Errorf("repeated: %v, %v", again, err)
			}
		})
	}
}

// revoked holds a removed node's certificate against the time it could be valid.
func revoked(t *testing.T, st *state.State, id string) {
	t.Helper()
	for _, r := range st.Cluster().GetRemovedNodes() {
		if r.GetId() == id {
			if left := time.Until(r.GetExpiresAt().AsTime()); left < spec.CertExpiry(st.Cluster().GetSpec())-time.Minute {
				t.Errorf("the certificate is revoked for %s only", left)
			}
			return
		}
	}
	t.Errorf("the certificate of %s is not revoked", id)
}

// TestRemovedWithItsVoteGone: a removal that lost its vote and then the leader
// goes on when it is asked for again.
func TestRemovedWithItsVoteGone(t *testing.T) {
	store, m, server := serve(t)
	m.removed = []string{"m2"}
	if _, err := server.RemoveNode(t.Context(), &controlpb.RemoveNodeRequest{Node: "m2", Force: true}); err != nil {
		t.Fatal(err)
	}
	if _, there := store.State().Node("m2"); there {
		t.Error("it is still there")
	}
}

func TestForget(t *testing.T) {
	store, m, server := serve(t)
	n, _ := store.State().Node("m2")
	if err := server.Forget(t.Context(), "r1", n); err != nil || !slices.Contains(m.removed, "m2") {
		t.Fatalf("%v, votes taken %v", err, m.removed)
	}
	revoked(t, store.State(), "m2")
	m.refuse = errdefs.ErrFailedPrecondition
	n, _ = store.State().Node("m1")
	if err := server.Forget(t.Context(), "r2", n); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("without a quorum: %v", err)
	}
}

// TestRevokedForAsLongAsACertificateMayLive: one that was issued before the
// expiry was lowered outlives what is set now.
func TestRevokedForAsLongAsACertificateMayLive(t *testing.T) {
	st := storetest.State(t,
		state.CreateCluster(&raftpb.CreateCluster{Id: "c", Spec: &clusterpb.ClusterSpec{CertExpiry: durationpb.New(90 * 24 * time.Hour)}}),
		state.PutClusterSpec(1, &clusterpb.ClusterSpec{CertExpiry: durationpb.New(time.Hour)}),
	)
	st = storetest.Apply(t, st, state.PutClusterSpec(st.Cluster().GetVersion(), &clusterpb.ClusterSpec{CertExpiry: durationpb.New(2 * time.Hour)}))
	if got := spec.LongestCertExpiry(st.Cluster()); got != 90*24*time.Hour {
		t.Errorf("the longest certificate lives for %s", got)
	}
	if got := spec.LongestCertExpiry(&clusterpb.Cluster{}); got != spec.DefaultCertExpiry {
		t.Errorf("by default it lives for %s", got)
	}
}
