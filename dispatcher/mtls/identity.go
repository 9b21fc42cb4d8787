package mtls

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"time"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/proto/call"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

const (
	managerUnit = "muster-manager"
	workerUnit  = "muster-worker"

	// Backdate is how long before its making a certificate is valid, so that
	// a node whose clock is late accepts it.
	Backdate = time.Hour
)

// Identity is what a certificate says about its node.
type Identity struct {
	NodeID    string
	ClusterID string
	Role      clusterpb.NodeRole
}

// RoleName returns "manager", "worker", or "unknown".
func RoleName(r clusterpb.NodeRole) string {
	switch r {
	case clusterpb.NodeRole_NODE_ROLE_MANAGER:
		return "manager"
	case clusterpb.NodeRole_NODE_ROLE_WORKER:
		return "worker"
	case clusterpb.NodeRole_NODE_ROLE_UNSPECIFIED:
	}
	return "unknown"
}

// Subject is how a certificate names the identity.
func (id Identity) Subject() pkix.Name {
	return pkix.Name{
		CommonName:         id.NodeID,
		OrganizationalUnit: []string{unit(id.Role)},
		Organization:       []string{id.ClusterID},
	}
}

// DNSNames are the names a certificate of the identity is good for: the
// node's id, and the name shared by all nodes of its role.
func (id Identity) DNSNames() []string { return []string{id.NodeID, unit(id.Role)} }

func unit(r clusterpb.NodeRole) string {
	if r == clusterpb.NodeRole_NODE_ROLE_MANAGER {
		return managerUnit
	}
	return workerUnit
}

// FromCertificate reads the identity that a certificate states. It verifies
// nothing: ask only about certificates whose chain was verified.
func FromCertificate(cert *x509.Certificate) (Identity, error) {
	s := cert.Subject
	id := Identity{NodeID: s.CommonName}
	if len(s.Organization) == 1 {
		id.ClusterID = s.Organization[0]
	}
	if len(s.OrganizationalUnit) == 1 {
		switch s.OrganizationalUnit[0] {
		case managerUnit:
			id.Role = clusterpb.NodeRole_NODE_ROLE_MANAGER
		case workerUnit:
			id.Role = clusterpb.NodeRole_NODE_ROLE_WORKER
		}
	}
	if id.NodeID == "" || id.ClusterID == "" || id.Role == clusterpb.NodeRole_NODE_ROLE_UNSPECIFIED {
		return Identity{}, errdefs.ErrPermissionDenied.WithMessage(
			fmt.Sprintf("certificate %q is not a muster node's", s))
	}
	return id, nil
}

// checkTime explains a certificate that is not valid at now.
func checkTime(cert *x509.Certificate, now time.Time) error {
	if err := (call.Principal{NodeID: cert.Subject.CommonName, Expires: cert.NotAfter}).Check(now); err != nil {
		return err
	}
	if now.Before(cert.NotBefore) {
		return errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf(
			"certificate of node %s is valid from %s and it is %s here; correct the clock",
			cert.Subject.CommonName, cert.NotBefore.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339)))
	}
	return nil
}
