package mtls

import (
	"context"
	"crypto/x509"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/muster/muster/proto/call"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// LocalInfo marks a connection over the daemon's own unix socket.
type LocalInfo struct{ credentials.CommonAuthInfo }

// AuthType names the kind of authentication, for gRPC.
func (LocalInfo) AuthType() string { return "local" }

// ClientCredentials are [ClientTLS] for gRPC.
func ClientCredentials(current func() *Credentials, want Peer) credentials.TransportCredentials {
	return credentials.NewTLS(ClientTLS(current, want, "h2"))
}

// PeerPrincipal returns who is at the other end of the connection that a call
// came in on: the node of a certificate, verified when the connection was
// made, else a local or an anonymous caller. Of a local one it does not know
// the node.
func PeerPrincipal(ctx context.Context) (call.Principal, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return call.Principal{Kind: call.Anonymous}, nil
	}
	caller := call.Principal{Kind: call.Anonymous}
	if p.Addr != nil {
		caller.Addr = p.Addr.String()
	}
	switch info := p.AuthInfo.(type) {
	case LocalInfo:
		caller.Kind = call.Local
	case credentials.TLSInfo:
		if len(info.State.PeerCertificates) > 0 {
			return ofCertificate(caller, info.State.PeerCertificates[0])
		}
	}
	return caller, nil
}

func ofCertificate(caller call.Principal, cert *x509.Certificate) (call.Principal, error) {
	id, err := FromCertificate(cert)
	if err != nil {
		return call.Principal{}, err
	}
	caller.Kind, caller.NodeID, caller.ClusterID, caller.Expires = kindOf(id), id.NodeID, id.ClusterID, cert.NotAfter
	return caller, nil
}

func kindOf(id Identity) call.Callers {
	if id.Role == clusterpb.NodeRole_NODE_ROLE_MANAGER {
		return call.Manager
	}
	return call.Worker
}
