package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"

	"github.com/muster/muster/dispatcher/agent"
	"github.com/muster/muster/dispatcher/mtls"
)

const (
	// askPause is how long to wait before the next manager is asked.
	askPause = 200 * time.Millisecond
	// connectTimeout bounds connecting: a machine that is gone does not refuse,
	// and another manager may answer.
	connectTimeout = 2 * time.Second
)

// managers are the control addresses of the managers known now.
func (m *member) managers() []string { return m.gossip.managers() }

// ask makes a call to a manager, and again to the next one while none can
// answer, such as during an election, until ctx is done. It asks managers that
// are not this node if there are any: what it is for must not depend on this
// node.
func (m *member) ask(ctx context.Context, call func(context.Context, *grpc.ClientConn) error) error {
	return m.connect.askAny(ctx, m.others, call)
}

// others are the managers but this node, unless there is no other.
func (m *member) others() []string {
	own := m.settings.Advertise.String()
	others := slices.DeleteFunc(slices.Clone(m.managers()), func(a string) bool { return a == own })
	if len(others) == 0 {
		return []string{own}
	}
	return others
}

// askAny makes a call to the managers known at the time, one after the other and
// over again while none can answer, until ctx is done: then it tells why none
// could. There must be one.
func (c connector) askAny(ctx context.Context, managers func() []string, call func(context.Context, *grpc.ClientConn) error) error {
	var why error
	for i := 0; ; i++ {
		addrs := managers()
		i %= len(addrs)
		err := c.ask(ctx, append(slices.Clone(addrs[i:]), addrs[:i]...), call)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil && why != nil:
			return why
		case !errdefs.IsUnavailable(err):
			return err
		}
		if why = err; !pause(ctx) {
			return why
		}
	}
}

// pause waits before the next attempt; false when ctx is done.
func pause(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(askPause):
		return true
	}
}

// ask makes a call to the first manager that is reached. Unavailable means that
// none was, or that it had no leader to ask or took so long that another one
// should be asked.
func (c connector) ask(ctx context.Context, managers []string, call func(context.Context, *grpc.ClientConn) error) error {
	conn, addr, err := c.reach(ctx, managers)
	if err != nil {
		return err
	}
	waiting, cancel := share(ctx)
	defer cancel()
	err = call(waiting, conn)
	if errdefs.IsDeadlineExceeded(err) && ctx.Err() == nil {
		err = fmt.Errorf("manager at %s: no answer in half of the time that was left: %w", addr, errdefs.ErrUnavailable)
	}
	return errors.Join(err, conn.Close())
}

// share is what one manager may take of the time that is left: a half, so that
// there is time to ask another one.
func share(ctx context.Context) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, time.Until(end)/2)
}

// reach connects to the managers beside each other and returns the first that
// is there, or why the one asked first is not.
func (c connector) reach(ctx context.Context, managers []string) (conn *grpc.ClientConn, addr string, err error) {
	for a := range agent.Beside(ctx, managers, c.connected, func(conn *grpc.ClientConn) { _ = conn.Close() }) {
		if a.Err == nil {
			return a.Conn, a.Addr, nil
		}
		if err == nil || a.Addr == managers[0] {
			err = a.Err
		}
	}
	if err == nil {
		err = fmt.Errorf("no manager was reached: %w: %w", context.Cause(ctx), errdefs.ErrUnavailable)
	}
	return nil, "", err
}

// connected returns the connection to the manager at addr once it is made or has
// failed; the first call tells why it failed.
func (c connector) connected(ctx context.Context, addr string) (*grpc.ClientConn, error) {
	conn, err := c.to(addr, mtls.AnyManager())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn.Connect()
	for s := conn.GetState(); s == connectivity.Idle || s == connectivity.Connecting; s = conn.GetState() {
		if !conn.WaitForStateChange(ctx, s) {
			silent := fmt.Errorf("manager at %s: no answer within %s: %w", addr, connectTimeout, errdefs.ErrUnavailable)
			return nil, errors.Join(silent, conn.Close())
		}
	}
	return conn, nil
}
