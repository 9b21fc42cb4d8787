package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/muster/muster/dispatcher/mtls"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// caller is who opens a connection: a node, or a user on it.
type caller struct {
	node string
	role clusterpb.NodeRole // unspecified for users
}

// serverCredentials take the network's word for who calls, in the place of TLS.
type serverCredentials struct {
	credentials.TransportCredentials
}

func newServerCredentials() credentials.TransportCredentials {
	return serverCredentials{insecure.NewCredentials()}
}

// ServerHandshake implements credentials.TransportCredentials.
func (serverCredentials) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	e, ok := c.(*end)
	if !ok {
		return nil, nil, errors.New("a connection of another network")
	}
	if e.caller.role == clusterpb.NodeRole_NODE_ROLE_UNSPECIFIED {
		return c, mtls.LocalInfo{}, nil
	}
	id := mtls.Identity{NodeID: e.caller.node, ClusterID: clusterID, Role: e.caller.role}
	cert := &x509.Certificate{
		Subject: id.Subject(), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * 365 * time.Hour),
	}
	info := credentials.TLSInfo{State: tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}}}
	return c, info, nil
}

// Clone implements credentials.TransportCredentials.
func (s serverCredentials) Clone() credentials.TransportCredentials { return s }

// client returns a connection of the caller to the node at addr.
func (n *network) client(who caller, addr string, opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:"+addr, append(opts,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return n.dial(ctx, who, addr) }),
	)...)
}
