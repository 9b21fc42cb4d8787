package dns

import (
	"context"
	"net"

	"github.com/muster/muster/ingress/namespace"
)

// dial opens a socket from within a network namespace.
func dial(ctx context.Context, netns, network, addr string) (conn net.Conn, err error) {
	err = namespace.In(netns, func() (err error) {
		var d net.Dialer
		conn, err = d.DialContext(ctx, network, addr)
		return err
	})
	return conn, err
}
