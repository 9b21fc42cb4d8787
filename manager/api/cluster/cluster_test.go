package cluster_test

import (
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/muster/muster/manager/api/apitest"
	"github.com/muster/muster/manager/api/cluster"
	"github.com/muster/muster/manager/ca"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
)

const (
	worker  = clusterpb.NodeRole_NODE_ROLE_WORKER
	manager = clusterpb.NodeRole_NODE_ROLE_MANAGER
)

// The secrets of the first tokens.
var (
	workerSecret  = strings.Repeat("w", 25)
	managerSecret = strings.Repeat("m", 25)
)

type leader struct{}

func (leader) Leader() (string, string) { return "m1", "192.0.2.1:2377" }

// serve has a cluster with tokens.
func serve(t *testing.T) (*apitest.Store, *cluster.Server) {
	t.Helper()
	root, key, err := ca.NewRoot("c1")
	if err != nil {
		t.Fatal(err)
	}
	store := apitest.New(t, state.CreateCluster(&raftpb.CreateCluster{
		Id: "c1", RootCa: root, RootCaKey: key, Spec: limit(5),
		WorkerSecret: workerSecret, ManagerSecret: managerSecret, GossipKeys: [][]byte{[]byte("key")},
	}))
	return store, &cluster.Server{Store: store, Members: leader{}}
}

// limit is a spec that can be told from others.
func limit(n int32) *clusterpb.ClusterSpec { return &clusterpb.ClusterSpec{TaskHistoryLimit: &n} }

func TestUpdateCluster(t *testing.T) {
	tests := map[string]struct {
		version int // against the current one; 99 is none
		spec    *clusterpb.ClusterSpec
		kind    func(error) bool
	}{
		"any version":         {99, limit(7), nil},
		"the current version": {0, limit(7), nil},
		"an old version":      {-1, limit(7), errdefs.IsConflict},
		"a version to come":   {1, limit(7), errdefs.IsConflict},
		"what may not be":     {99, &clusterpb.ClusterSpec{CertExpiry: durationpb.New(time.Second)}, errdefs.IsInvalidArgument},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			store, server := serve(t)
			store.Commit(state.PutClusterSpec(store.State().Cluster().GetVersion(), limit(6)))
			r := &controlpb.UpdateClusterRequest{Spec: tt.spec}
			if tt.version != 99 {
				r.Version = uint64(int(store.State().Cluster().GetVersion()) + tt.version)
			}
			resp, err := server.UpdateCluster(t.Context(), r)
			if tt.kind != nil {
				if err == nil || !tt.kind(err) || store.State().Cluster().GetSpec().GetTaskHistoryLimit() != 6 {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil || resp.GetCluster().GetSpec().GetTaskHistoryLimit() != 7 {
				t.Errorf("got %v, %v", resp, err)
			}
		})
	}
}

// TestUpdateClusterIsRaced: whoever names no version writes over what another
// wrote just now, and whoever does is told.
func TestUpdateClusterIsRaced(t *testing.T) {
	for name, pinned := range map[string]bool{"any version": false, "the version seen": true} {
		store, server := serve(t)
		store.Races = append(store.Races, func(st *state.State) *raftpb.Change {
			return state.PutClusterSpec(st.Cluster().GetVersion(), limit(6))
		})
		r := &controlpb.UpdateClusterRequest{Spec: limit(7)}
		if pinned {
			r.Version = store.State().Cluster().GetVersion()
		}
		ctx := apitest.Request(t, "r1")
		_, err := server.UpdateCluster(ctx, r)
		if pinned != errdefs.IsConflict(err) {
			t.Errorf("%s: %v", name, err)
		}
		resp, again := server.UpdateCluster(ctx, r)
		switch {
		case pinned && (again == nil || again.Error() != err.Error() || resp != nil):
			t.Errorf("%s: repeated %v, first %v", name, again, err)
		case !pinned && (again != nil || resp.GetCluster().GetSpec().GetTaskHistoryLimit() != 7):
			t.Errorf("%s: repeated %v, %v", name, resp, again)
		}
	}
}

func TestGetClusterShowsNoSecret(t *testing.T) {
	_, server := serve(t)
	resp, err := server.GetCluster(t.Context(), &controlpb.GetClusterRequest{})
	if err != nil || resp.GetCluster().GetId() != "c1" {
		t.Fatalf("got %v, %v", resp, err)
	}
	if text := resp.String(); strings.Contains(text, workerSecret) || strings.Contains(text, managerSecret) || strings.Contains(text, "PRIVATE KEY") {
		t.Errorf("the answer shows a secret: %s", text)
	}
}

func TestJoinTokens(t *testing.T) {
	store, server := serve(t)
	token := func(role clusterpb.NodeRole) string {
		t.Helper()
		r, err := server.GetJoinToken(t.Context(), &controlpb.GetJoinTokenRequest{Role: role})
		if err != nil || r.GetAddr() != "192.0.2.1:2377" {
			t.Fatalf("token of %s: %v, %v", role, r, err)
		}
		return r.GetToken()
	}
	w, m := token(worker), token(manager)
	if !strings.HasSuffix(w, workerSecret) || !strings.HasSuffix(m, managerSecret) || store.Proposals != 0 {
		t.Fatalf("tokens %q and %q, after %d writes", w, m, store.Proposals)
	}

	ctx := apitest.Request(t, "r1")
	rotate := &controlpb.RotateJoinTokenRequest{Role: worker}
	first, err := server.RotateJoinToken(ctx, rotate)
	if err != nil || first.GetToken() == w || first.GetToken() != token(worker) || first.GetAddr() != "192.0.2.1:2377" {
		t.Fatalf("rotated to %v, %v", first, err)
	}
	again, err := server.RotateJoinToken(ctx, rotate)
	if err != nil || again.GetToken() != first.GetToken() {
		t.Errorf("repeated: %v, %v; want the same token", again, err)
	}
	if token(manager) != m {
		t.Error("the other role's token was rotated too")
	}
	next, err := server.RotateJoinToken(apitest.Request(t, "r2"), rotate)
	if err != nil || next.GetToken() == first.GetToken() {
		t.Errorf("another rotation: %v, %v", next, err)
	}
}

func TestTokenOfNoRole(t *testing.T) {
	store, server := serve(t)
	_, get := server.GetJoinToken(t.Context(), &controlpb.GetJoinTokenRequest{})
	_, rotate := server.RotateJoinToken(t.Context(), &controlpb.RotateJoinTokenRequest{})
	for _, err := range []error{get, rotate} {
		if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "use worker or manager") {
			t.Errorf("got %v", err)
		}
	}
	if store.Proposals != 0 {
		t.Error("something was written")
	}
}
