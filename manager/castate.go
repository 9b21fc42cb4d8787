package manager

import (
	"context"

	"github.com/muster/muster/manager/ca"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/proto/spec"
	"github.com/muster/muster/raftstore"
	"github.com/muster/muster/raftstore/state"
)

// caState shows the replicated state to the certificate service.
type caState struct{ store *raftstore.Store }

var _ ca.State = caState{}

// Cluster implements ca.State.
func (s caState) Cluster() (ca.Cluster, bool) { return clusterOf(s.store.State()) }

func clusterOf(st *state.State) (ca.Cluster, bool) {
	c, secrets := st.Cluster(), st.Secrets()
	if c == nil || secrets == nil {
		return ca.Cluster{}, false
	}
	var subnets []string
	for n := range st.Networks() {
		subnets = append(subnets, n.GetSubnets()...)
	}
	return ca.Cluster{
		Subnets:       subnets,
		ID:            c.GetId(),
		RootCert:      c.GetRootCa(),
		RootKey:       secrets.GetRootCaKey(),
		WorkerSecret:  secrets.GetWorkerSecret(),
		ManagerSecret: secrets.GetManagerSecret(),
		Expiry:        spec.CertExpiry(c.GetSpec()),
	}, true
}

// NodeRole implements ca.State.
func (s caState) NodeRole(nodeID string) (clusterpb.NodeRole, bool) {
	return roleOf(s.store.State(), nodeID)
}

func roleOf(st *state.State, nodeID string) (clusterpb.NodeRole, bool) {
	n, ok := st.Node(nodeID)
	return n.GetRole(), ok
}

// Removed implements ca.State.
func (s caState) Removed(nodeID string) bool { return removed(s.store.State(), nodeID) }

func removed(st *state.State, nodeID string) bool {
	for _, r := range st.Cluster().GetRemovedNodes() {
		if r.GetId() == nodeID {
			return true
		}
	}
	return false
}

// RegisterNode implements ca.State.
func (s caState) RegisterNode(ctx context.Context, nodeID string, role clusterpb.NodeRole) error {
	have, ok := s.store.State().Node(nodeID)
	if ok && have.GetRole() == role {
		return nil
	}
	put := &raftpb.PutNode{Id: nodeID, Spec: &clusterpb.NodeSpec{}, Role: role}
	if ok {
		put.Version, put.Spec, put.RaftAddr = have.GetVersion(), have.GetSpec(), have.GetRaftAddr()
	}
	return s.store.Propose(ctx, state.PutNode(put))
}
