package mtls

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/proto/call"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// Server says whom a listening node speaks to.
type Server struct {
	// Credentials returns the node's current ones, such as [Holder.Current].
	Credentials func() *Credentials
	// Protocols maps each ALPN protocol that is served to who may open it.
	Protocols map[string]call.Callers
	// Standing tells what nodes are by now, for a protocol; nil where nobody
	// knows.
	Standing func(protocol string) Standing
}

// TLS returns the server's side of the cluster's TLS. It takes the
// credentials anew for each connection.
func (s Server) TLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: slices.Sorted(maps.Keys(s.Protocols)),
		// Tickets would let a peer in on a certificate that was checked
		// against an older state of the cluster.
		SessionTicketsDisabled: true,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			c := s.Credentials()
			if c == nil {
				return nil, errNoCredentials()
			}
			// Also when expired: the client then learns why.
			return &c.Certificate, nil
		},
		// The certificate is asked for here and verified by verify, which
		// knows the current roots and what the protocol demands.
		ClientAuth:       tls.RequestClientCert,
		VerifyConnection: s.verify,
	}
}

func (s Server) verify(cs tls.ConnectionState) error {
	if cs.NegotiatedProtocol == "" {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
			"peer asked for no protocol, it must be one of %q", slices.Sorted(maps.Keys(s.Protocols))))
	}
	if len(cs.PeerCertificates) > 0 {
		c := s.Credentials()
		if c == nil {
			return errNoCredentials()
		}
		id, err := c.verifyPeer(cs.PeerCertificates, x509.ExtKeyUsageClientAuth, "")
		if err != nil {
			return err
		}
		return s.admit(cs.NegotiatedProtocol, id)
	}
	return s.allow(cs.NegotiatedProtocol, call.Anonymous, "a node without a certificate")
}

// Stands returns why the node at the other end of a connection that was made
// before may keep it no longer, or nil. Its certificate is not verified again.
func (s Server) Stands(cs tls.ConnectionState) error {
	if len(cs.PeerCertificates) == 0 {
		return nil
	}
	id, err := FromCertificate(cs.PeerCertificates[0])
	if err != nil {
		return err
	}
	return s.admit(cs.NegotiatedProtocol, id)
}

// admit refuses a node that may not open a protocol.
func (s Server) admit(protocol string, id Identity) error {
	kind := kindOf(id)
	if s.Standing != nil {
		var err error
		if kind, err = s.Standing(protocol)(id.NodeID, kind); err != nil {
			return err
		}
	}
	return s.allow(protocol, kind, call.Principal{Kind: kind, NodeID: id.NodeID}.String())
}

func (s Server) allow(protocol string, kind call.Callers, who string) error {
	if allowed := s.Protocols[protocol]; allowed&kind == 0 {
		return errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("protocol %s is for %s, not for %s", protocol, allowed, who))
	}
	return nil
}

// Peer says whom a client wants at the other end: the zero value accepts any
// node of the cluster.
type Peer struct {
	// Role the peer must have, unless unspecified.
	Role clusterpb.NodeRole
	// NodeID the peer must have, unless empty.
	NodeID string
}

// AnyManager is the peer of everything that talks to the control plane.
func AnyManager() Peer { return Peer{Role: clusterpb.NodeRole_NODE_ROLE_MANAGER} }

// ClientTLS returns the client's side of the cluster's TLS for one ALPN
// protocol. It takes the credentials anew for each connection.
func ClientTLS(credentials func() *Credentials, want Peer, protocol string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{protocol},
		ServerName: serverName(want),
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			c := credentials()
			if c == nil {
				return nil, errNoCredentials()
			}
			// TLS would tell this side no more than "bad certificate".
			if err := c.Check(time.Now()); err != nil {
				return nil, err
			}
			return &c.Certificate, nil
		},
		// The library would verify the address dialed, against fixed roots.
		// VerifyConnection verifies the node, against the current ones.
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection verifies
		VerifyConnection: func(cs tls.ConnectionState) error {
			c := credentials()
			if c == nil {
				return errNoCredentials()
			}
			return verifyServer(c, want, cs)
		},
	}
}

// serverName is the name the peer's certificate must be good for.
func serverName(want Peer) string {
	if want.NodeID != "" {
		return want.NodeID
	}
	return unit(cmp.Or(want.Role, clusterpb.NodeRole_NODE_ROLE_MANAGER))
}

func verifyServer(c *Credentials, want Peer, cs tls.ConnectionState) error {
	if len(cs.PeerCertificates) == 0 {
		return errdefs.ErrPermissionDenied.WithMessage("peer showed no certificate")
	}
	id, err := c.verifyPeer(cs.PeerCertificates, x509.ExtKeyUsageServerAuth, want.NodeID)
	if err != nil {
		return err
	}
	if want.Role != clusterpb.NodeRole_NODE_ROLE_UNSPECIFIED && id.Role != want.Role {
		return errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf(
			"node %s is a %s, a %s is needed", id.NodeID, RoleName(id.Role), RoleName(want.Role)))
	}
	return nil
}

func errNoCredentials() error {
	return errdefs.ErrFailedPrecondition.WithMessage("this node has no certificate: it is in no cluster")
}
