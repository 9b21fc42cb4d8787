package manager

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"

	"github.com/muster/muster/proto/call"
)

const (
	// electionPatience is how long a call waits for managers that are electing a
	// leader, before its caller is told to ask again: asking would find the
	// leader later.
	electionPatience = time.Second
	// electionPeriod is how often such a call looks.
	electionPeriod = 20 * time.Millisecond
)

// errElecting says that there will be a leader in a moment, or none for long.
var errElecting = fmt.Errorf("the managers have no leader now: fewer than a majority of them can be reached, or they are electing one: %w", errdefs.ErrUnavailable)

// election is what a manager knows of who leads.
type election interface {
	ID() string
	// IsLeader reports whether this manager acts as the leader.
	IsLeader() bool
	// Leader is the manager that was elected, as far as this one knows.
	Leader() (id, addr string)
}

// director finds the way to the manager that leads.
type director struct {
	election election
	inside   *grpc.ClientConn // to what only the leader answers, in this process
	leader   leaderConn
}

// direct names the connection to the manager that leads, and waits a moment
// while none does.
func (d *director) direct(ctx context.Context) (*grpc.ClientConn, error) {
	patience := time.NewTimer(electionPatience)
	defer patience.Stop()
	look := time.NewTicker(electionPeriod)
	defer look.Stop()
	for {
		conn, err := d.route(ctx)
		if !errors.Is(err, errElecting) {
			return conn, err
		}
		select {
		case <-look.C:
		case <-patience.C:
			return nil, err
		case <-ctx.Done():
			return nil, err
		}
	}
}

// route names the connection to the manager that leads now. What another manager
// has handed on goes no further: it is asked for again, and that manager will
// know better by then.
func (d *director) route(ctx context.Context) (*grpc.ClientConn, error) {
	if d.election.IsLeader() {
		return d.inside, nil
	}
	addr := d.elsewhere()
	switch {
	case addr == "":
		return nil, errElecting
	case call.IsForwarded(ctx):
		return nil, fmt.Errorf("another manager takes this one for the leader, which it is not: ask again: %w", errdefs.ErrUnavailable)
	}
	return d.leader.to(addr)
}

// elsewhere is the control address of another manager that leads, or empty:
// also while this one has been elected and does not act as the leader yet.
func (d *director) elsewhere() string {
	id, addr := d.election.Leader()
	if id == d.election.ID() {
		return ""
	}
	return addr
}

// leaderPeriod is how often is looked who leads.
const leaderPeriod = 100 * time.Millisecond

// run cuts off the calls that were handed on to a manager which leads no more,
// until ctx is done: one that lost its power or its network says nothing of it,
// and the callers wait. They ask again, and the new leader knows their request ids.
func (d *director) run(ctx context.Context) error {
	look := time.NewTicker(leaderPeriod)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
			if addr := d.elsewhere(); addr != "" || d.election.IsLeader() {
				d.leader.leave(addr)
			}
		}
	}
}

// leaderConn keeps one connection to the manager that leads.
type leaderConn struct {
	dial func(addr string) (*grpc.ClientConn, error)

	mu   sync.Mutex
	addr string
	conn *grpc.ClientConn
}

func (l *leaderConn) to(addr string) (*grpc.ClientConn, error) {
	conn, old, err := l.swap(addr)
	if old != nil {
		// Calls under way go to a manager that no longer leads; they fail, and
		// their callers ask again. Closing may take seconds when that manager is
		// gone, so no other call waits for it.
		_ = old.Close()
	}
	return conn, err
}

// leave closes the connection unless it is to addr.
func (l *leaderConn) leave(addr string) {
	l.mu.Lock()
	old := l.conn
	if old == nil || l.addr == addr {
		l.mu.Unlock()
		return
	}
	l.conn, l.addr = nil, ""
	l.mu.Unlock()
	// Closing may take seconds when that manager is gone.
	go old.Close()
}

// swap returns the connection to addr, and the one that it took the place of.
func (l *leaderConn) swap(addr string) (conn, old *grpc.ClientConn, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil && l.addr == addr {
		return l.conn, nil, nil
	}
	conn, err = l.dial(addr)
	if err != nil {
		return nil, nil, fmt.Errorf("connect to the leader at %s: %w", addr, err)
	}
	old = l.conn
	l.addr, l.conn = addr, conn
	return conn, old, nil
}

func (l *leaderConn) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil {
		return nil
	}
	return l.conn.Close()
}
