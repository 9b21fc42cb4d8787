package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"google.golang.org/grpc/credentials"

	"github.com/muster/muster/dispatcher/mtls"
)

// ServerCredentials are the transport credentials of a gRPC server that
// serves listeners of this package: For's, whose handshake is done, and
// Local's.
func ServerCredentials() credentials.TransportCredentials { return handshaked{} }

// Local marks the connections of a listener as local: their callers are
// [mtls.Local]. Only a listener that nobody else can reach, such as a unix
// socket of mode 0600, may be marked.
func Local(inner net.Listener) net.Listener { return localListener{inner} }

type localListener struct{ net.Listener }

type localConn struct{ net.Conn }

func (l localListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return localConn{conn}, nil
}

// handshaked passes on what is known of a connection.
type handshaked struct{}

func (handshaked) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	safe := credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}
	switch c := conn.(type) {
	case *tls.Conn:
		state := c.ConnectionState()
		if !state.HandshakeComplete {
			return nil, nil, errors.New("connection is not of this package's listener: its handshake is not done")
		}
		return conn, credentials.TLSInfo{State: state, CommonAuthInfo: safe}, nil
	case localConn:
		return conn, mtls.LocalInfo{CommonAuthInfo: safe}, nil
	default:
		return nil, nil, fmt.Errorf("connection of type %T is neither TLS nor local", conn)
	}
}

func (handshaked) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("these credentials are for servers; clients use mtls.ClientCredentials")
}

func (handshaked) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

func (c handshaked) Clone() credentials.TransportCredentials { return c }

func (handshaked) OverrideServerName(string) error { return nil }
