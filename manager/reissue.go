package manager

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/manager/ca"
	capb "github.com/muster/muster/proto/ca/v1"
	"github.com/muster/muster/proto/call"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/raftstore"
	"github.com/muster/muster/raftstore/state"
)

// Reissue certifies this manager's own key by the root that its own disk holds:
// the way back for managers whose certificates have expired, such as those of a
// cluster that was switched off for months. No other manager would answer them.
// The rules are those of every renewal.
func (m *Manager) Reissue(ctx context.Context, csrPEM []byte) (*capb.IssueNodeCertificateResponse, error) {
	st, err := raftstore.Recorded(m.cfg.Store)
	if err != nil {
		return nil, fmt.Errorf("read the cluster's root from this manager's own state: %w", err)
	}
	self := call.NewContext(ctx, call.Principal{
		Kind: call.Manager, NodeID: m.cfg.Store.ID(), ClusterID: st.Cluster().GetId(),
	})
	return ca.NewService(recorded{st}, m.cfg.Log.With("part", "ca")).
		IssueNodeCertificate(self, &capb.IssueNodeCertificateRequest{CsrPem: csrPEM})
}

// recorded shows the certificate service a state that nothing is added to.
type recorded struct{ state *state.State }

var _ ca.State = recorded{}

// Cluster implements ca.State.
func (r recorded) Cluster() (ca.Cluster, bool) { return clusterOf(r.state) }

// NodeRole implements ca.State.
func (r recorded) NodeRole(nodeID string) (clusterpb.NodeRole, bool) { return roleOf(r.state, nodeID) }

// Removed implements ca.State.
func (r recorded) Removed(nodeID string) bool { return removed(r.state, nodeID) }

// RegisterNode implements ca.State.
func (recorded) RegisterNode(_ context.Context, nodeID string, _ clusterpb.NodeRole) error {
	return fmt.Errorf("node %s joins by a manager that leads: %w", nodeID, errdefs.ErrUnavailable)
}
