package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"github.com/muster/muster/dispatcher/mtls"
)

// DialRaft opens a raft stream to the manager of that id at addr over a
// connection that dial makes. Another manager there is refused. The stream is verified when it returns; that the manager accepts
// this node shows at the first read. ctx bounds the dialing.
func DialRaft(ctx context.Context, nodeID, addr string, dial func(ctx context.Context, addr string) (net.Conn, error), current func() *mtls.Credentials) (net.Conn, error) {
	conn, err := dial(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("dial raft: %w", err)
	}
	peer := mtls.AnyManager()
	peer.NodeID = nodeID
	secure := tls.Client(conn, mtls.ClientTLS(current, peer, ProtocolRaft))
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("dial raft: %w", errors.Join(err, conn.Close()))
	}
	return secure, nil
}
