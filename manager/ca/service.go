package ca

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/dispatcher/mtls"
	capb "github.com/muster/muster/proto/ca/v1"
	"github.com/muster/muster/proto/call"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/jointoken"
)

// Cluster is what the service must know of the replicated state.
type Cluster struct {
	ID string
	// RootCert and RootKey are PEM, as NewRoot made them.
	RootCert, RootKey []byte
	// WorkerSecret and ManagerSecret are the secrets of the join tokens.
	WorkerSecret, ManagerSecret string
	// Subnets of all networks of tasks.
	Subnets []string
	// Expiry of node certificates; DefaultExpiry when zero.
	Expiry time.Duration
}

// State is the replicated state, as far as the service needs it.
type State interface {
	// Cluster returns false until this manager has caught up.
	Cluster() (Cluster, bool)
	// NodeRole returns the role a node shall have, false for a node that
	// the state does not know.
	NodeRole(nodeID string) (clusterpb.NodeRole, bool)
	// Removed reports whether a node was removed from the cluster.
	Removed(nodeID string) bool
	// RegisterNode records a new node, and returns once that is committed.
	// Registering the same node again changes nothing.
	RegisterNode(ctx context.Context, nodeID string, role clusterpb.NodeRole) error
}

// Service implements capb.CAServiceServer on any manager.
type Service struct {
	capb.UnimplementedCAServiceServer
	state State
	log   *slog.Logger
	wrong *attempts

	mu     sync.Mutex
	signer *Signer // for the root it was made of
}

// NewService returns the service over state.
func NewService(state State, log *slog.Logger) *Service {
	return &Service{state: state, log: log, wrong: newAttempts()}
}

// GetRootCA returns the root certificate to anybody.
func (s *Service) GetRootCA(context.Context, *capb.GetRootCARequest) (*capb.GetRootCAResponse, error) {
	c, err := s.cluster()
	if err != nil {
		return nil, err
	}
	return &capb.GetRootCAResponse{RootPem: c.RootCert}, nil
}

// IssueNodeCertificate lets a node join that shows a secret, or renews the
// certificate of the node that calls.
func (s *Service) IssueNodeCertificate(ctx context.Context, req *capb.IssueNodeCertificateRequest) (*capb.IssueNodeCertificateResponse, error) {
	c, err := s.cluster()
	if err != nil {
		return nil, err
	}
	var nodeID string
	var role clusterpb.NodeRole
	if req.GetToken() != "" {
		nodeID, role, err = s.join(ctx, c, req)
	} else {
		nodeID, role, err = s.renew(ctx)
	}
	if err != nil {
		return nil, err
	}
	signer, err := s.signerOf(c)
	if err != nil {
		return nil, fmt.Errorf("use the cluster's root: %w", err)
	}
	cert, err := signer.Sign(req.GetCsrPem(), nodeID, role, c.Expiry)
	if err != nil {
		return nil, err
	}
	s.log.InfoContext(ctx, "issued certificate", "node", nodeID, "role", mtls.RoleName(role))
	return &capb.IssueNodeCertificateResponse{
		CertificatePem: cert,
		RootPem:        c.RootCert,
		NodeId:         nodeID,
		ClusterId:      c.ID,
		Role:           role,
		Subnets:        c.Subnets,
	}, nil
}

// join admits a new node by the secret it shows, and records it.
func (s *Service) join(ctx context.Context, c Cluster, req *capb.IssueNodeCertificateRequest) (string, clusterpb.NodeRole, error) {
	from := callerHost(ctx)
	if !s.wrong.allow(from, time.Now()) {
		return "", 0, errdefs.ErrResourceExhausted.WithMessage(fmt.Sprintf(
			"too many wrong join tokens from %s; wait %s and try again", from, attemptPeriod))
	}
	role := roleOf(c, req.GetToken())
	if role == clusterpb.NodeRole_NODE_ROLE_UNSPECIFIED {
		s.wrong.count(from, time.Now())
		s.log.WarnContext(ctx, "join with a wrong token refused", "addr", from)
		return "", 0, errdefs.ErrPermissionDenied.WithMessage(
			`the join token's secret is not valid: it was rotated or mistyped; "muster swarm join-token" on a manager prints the current ones`)
	}
	nodeID, err := nodeIDOf(req.GetCsrPem())
	if err != nil {
		return "", 0, err
	}
	if s.state.Removed(nodeID) {
		return "", 0, call.ErrRemoved(nodeID)
	}
	if err := s.state.RegisterNode(ctx, nodeID, role); err != nil {
		return "", 0, fmt.Errorf("register node %s: %w", nodeID, err)
	}
	return nodeID, role, nil
}

// renew finds out who calls; the role is the one the state wants, which is
// how a promotion reaches the node.
func (s *Service) renew(ctx context.Context) (string, clusterpb.NodeRole, error) {
	nodeID, err := call.Node(ctx)
	if err != nil {
		return "", 0, errdefs.ErrPermissionDenied.WithMessage("a join token or a node certificate is needed")
	}
	if s.state.Removed(nodeID) {
		return "", 0, call.ErrRemoved(nodeID)
	}
	role, ok := s.state.NodeRole(nodeID)
	if !ok {
		return "", 0, errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf(
			"node %s is not known to the cluster; rejoin with a new token", nodeID))
	}
	return nodeID, role, nil
}

// roleOf compares with both secrets, whichever fits, so that the time it
// takes tells nothing.
func roleOf(c Cluster, secret string) clusterpb.NodeRole {
	manager := jointoken.Equal(secret, c.ManagerSecret)
	worker := jointoken.Equal(secret, c.WorkerSecret)
	switch {
	case manager:
		return clusterpb.NodeRole_NODE_ROLE_MANAGER
	case worker:
		return clusterpb.NodeRole_NODE_ROLE_WORKER
	}
	return clusterpb.NodeRole_NODE_ROLE_UNSPECIFIED
}

func (s *Service) cluster() (Cluster, error) {
	c, ok := s.state.Cluster()
	if !ok {
		return Cluster{}, errdefs.ErrUnavailable.WithMessage("this manager does not know the cluster's state yet; try again")
	}
	return c, nil
}

// signerOf keeps the parsed root until the root changes.
func (s *Service) signerOf(c Cluster) (*Signer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.signer != nil && s.signer.isOf(c) {
		return s.signer, nil
	}
	signer, err := NewSigner(c.ID, c.RootCert, c.RootKey)
	if err != nil {
		return nil, err
	}
	s.signer = signer
	return signer, nil
}

// callerHost is the address of the caller without its port.
func callerHost(ctx context.Context) string {
	return cmp.Or(call.Host(call.From(ctx).Addr), "unknown")
}
