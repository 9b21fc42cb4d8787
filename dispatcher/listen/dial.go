package listen

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"github.com/muster/muster/dispatcher/mtls"
)

// DialRaft opens a raft stream to the manager at addr. The connection is
// verified when it returns; that the manager accepts this node shows at the
// first read. ctx bounds the dialing.
func DialRaft(ctx context.Context, addr string, current func() *mtls.Credentials) (net.Conn, error) {
	dialer := tls.Dialer{Config: mtls.ClientTLS(current, mtls.AnyManager(), ProtocolRaft)}
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("dial raft: %w", err)
	}
	return conn, nil
}
