package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc"
)

const (
	// serveGrace is how long calls under way may take once a server stops.
	serveGrace = 2 * time.Second
)

// serve runs a server until ctx is done, then lets the calls under way end.
func serve(ctx context.Context, s *grpc.Server, l net.Listener) error {
	failed := make(chan error, 1)
	go func() { failed <- s.Serve(l) }()
	select {
	case err := <-failed:
		if errors.Is(err, net.ErrClosed) && ctx.Err() != nil {
			return nil // the port below was closed first
		}
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	cut := time.AfterFunc(serveGrace, s.Stop)
	defer cut.Stop()
	s.GracefulStop()
	if err := <-failed; err != nil && !errors.Is(err, grpc.ErrServerStopped) && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	}
	return nil
}
