package manager

import (
	"fmt"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/proto/call"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/raftstore/state"
)

// Standing tells what a node is in the cluster by now; see [mtls.Standing]. A
// manager that leads knows every node. One that does not may be a moment behind,
// or have been away for long: a node that it does not know has its word, and the
// leader decides.
func (m *Manager) Standing(nodeID string, kind call.Callers) (call.Callers, error) {
	leads := m.cfg.Store.IsLeader() // first: the state holds all that came before
	return standing(m.cfg.Store.State(), leads, nodeID, kind)
}

func standing(st *state.State, leads bool, nodeID string, kind call.Callers) (call.Callers, error) {
	if removed(st, nodeID) {
		return 0, call.ErrRemoved(nodeID)
	}
	n, ok := st.Node(nodeID)
	switch {
	case ok && kind == call.Manager && n.GetRole() != clusterpb.NodeRole_NODE_ROLE_MANAGER:
		return call.Worker, nil // what it is by now; its next certificate will say so
	case !ok && leads && st.Cluster() != nil:
		return 0, call.ErrUnknown(nodeID)
	}
	return kind, nil
}

// RaftStanding is Standing for raft between managers. A follower does not hear
// a manager that neither its state nor its membership has, unless that may be
// because it fell behind: it hears no leader, or hears this one.
func (m *Manager) RaftStanding(nodeID string, kind call.Callers) (call.Callers, error) {
	kind, err := m.Standing(nodeID, kind)
	if err != nil || m.votes(nodeID) {
		return kind, err
	}
	leader, _ := m.cfg.Store.Leader()
	if _, known := m.cfg.Store.State().Node(nodeID); known || leader == "" || leader == nodeID {
		return kind, nil
	}
	return 0, fmt.Errorf("manager %s has no vote, as far as this one and the leader %s know: %w", nodeID, leader, errdefs.ErrPermissionDenied)
}

func (m *Manager) votes(nodeID string) bool {
	for _, v := range m.cfg.Store.Members() {
		if v.ID == nodeID {
			return true
		}
	}
	return false
}
