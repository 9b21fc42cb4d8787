package mtls

import (
	"context"
	"crypto/x509"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// LocalInfo marks a connection over the daemon's own unix socket.
type LocalInfo struct{ credentials.CommonAuthInfo }

// AuthType names the kind of authentication, for gRPC.
func (LocalInfo) AuthType() string { return "local" }

// ForwardedInfo marks a call that another server of this cluster has taken
// in, verified, and handed on: Caller is who made it. Only a server that
// nobody but such servers can reach may set it.
type ForwardedInfo struct {
	credentials.CommonAuthInfo
	// Caller is the zero value for callers without a certificate.
	Caller Identity
}

// AuthType names the kind of authentication, for gRPC.
func (ForwardedInfo) AuthType() string { return "forwarded" }

// ClientCredentials are [ClientTLS] for gRPC.
func ClientCredentials(current func() *Credentials, want Peer) credentials.TransportCredentials {
	return credentials.NewTLS(ClientTLS(current, want, "h2"))
}

// PeerIdentity returns the node that makes the call a handler serves; false
// when the caller is anonymous or local.
func PeerIdentity(ctx context.Context) (Identity, bool) {
	if p, ok := peer.FromContext(ctx); ok {
		if info, forwarded := p.AuthInfo.(ForwardedInfo); forwarded {
			return info.Caller, info.Caller.NodeID != ""
		}
	}
	cert := peerCertificate(ctx)
	if cert == nil {
		return Identity{}, false
	}
	id, err := FromCertificate(cert)
	return id, err == nil
}

// IsLocal reports whether the call came through the daemon's unix socket.
func IsLocal(ctx context.Context) bool {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return false
	}
	_, local := p.AuthInfo.(LocalInfo)
	return local
}

// peerCertificate returns the caller's certificate, verified when the
// connection was made, or nil.
func peerCertificate(ctx context.Context) *x509.Certificate {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.PeerCertificates) == 0 {
		return nil
	}
	return info.State.PeerCertificates[0]
}
