package dispatcher

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/proto/call"
)

const (
	// rivalAnswer is how long the daemon that has a node's session may take to
	// show that it lives when another one comes with the node's identity. A
	// machine that lost its power and is back waits that long.
	rivalAnswer = time.Second
	// rivalReturn is how long the daemon that had the session last may take to
	// come back before one at another address gets it. A living one looks for a
	// manager more often than that, see dispatcher/agent.
	rivalReturn = 2500 * time.Millisecond
)

// alone returns nil once no other daemon than by is the node: a machine that
// has a copy of the node's state directory is refused for as long as the
// original lives, instead of each taking the session from the other, and each
// telling that the other's tasks are gone.
func (t *term) alone(ctx context.Context, nodeID string, by daemon) error {
	rival := t.rival(ctx, nodeID, by)
	if rival == nil || !rival.answers(ctx) {
		return nil
	}
	t.log.WarnContext(ctx, "refused a second machine with the identity of a node",
		"node", nodeID, "addr", by.addr, "connected_from", rival.by.addr)
	return fmt.Errorf("node %s is connected from %s and lives: this machine, at %s, has a copy of its state directory; "+
		"empty that directory and join with a token, or stop the other machine: %w", nodeID, rival.by.addr, by.addr, errdefs.ErrFailedPrecondition)
}

// rival returns the session that another daemon has with the node's identity,
// or nil. One that the state tells of may have a moment to come back.
func (t *term) rival(ctx context.Context, nodeID string, by daemon) *session {
	n, _ := t.cfg.Store.State().Node(nodeID)
	was := n.GetStatus()
	// A daemon that comes back from the same address is the same machine's.
	moved := was.GetInstance() != "" && was.GetInstance() != by.instance && call.Host(was.GetAddr()) != call.Host(by.addr)
	ctx, cancel := context.WithTimeout(ctx, rivalReturn)
	defer cancel()
	for {
		s, arrived := t.nodes.session(nodeID)
		switch {
		case s != nil && s.by.instance != by.instance:
			return s
		case s != nil || !moved:
			return nil
		}
		select {
		case <-arrived:
		case <-t.done:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// answers asks the node to say something, and reports whether it does.
func (s *session) answers(ctx context.Context) bool {
	select {
	case <-s.lives: // what it said before
	default:
	}
	s.post(func(o *outbox) { o.heartbeats++ })
	timeout := time.NewTimer(rivalAnswer)
	defer timeout.Stop()
	select {
	case <-s.lives:
		return true
	case <-s.kicked:
	case <-timeout.C:
	case <-ctx.Done():
	}
	return false
}
