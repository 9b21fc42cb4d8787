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
func (m *member) ask(ctx context.Context, call func(*grpc.ClientConn) error) error {
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
// over again while none can answer, until ctx is done. There must be one.
func (c connector) askAny(ctx context.Context, managers func() []string, call func(*grpc.ClientConn) error) error {
	for i := 0; ; i++ {
		addrs := managers()
		err := c.ask(ctx, addrs[i%len(addrs)], call)
		if again := errdefs.IsUnavailable(err) && pause(ctx); !again {
			return err
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

// ask makes a call to the manager at addr. Unavailable means that it was not
// reached or had no leader to ask.
func (c connector) ask(ctx context.Context, addr string, call func(*grpc.ClientConn) error) error {
	conn, err := c.to(addr, mtls.AnyManager())
	if err != nil {
		return err
	}
	if err = connected(ctx, conn, addr); err == nil {
		err = call(conn)
	}
	return errors.Join(err, conn.Close())
}

// connected waits until the connection to addr is made or has failed; the first
// call tells why it failed.
func connected(ctx context.Context, conn *grpc.ClientConn, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn.Connect()
	for s := conn.GetState(); s == connectivity.Idle || s == connectivity.Connecting; s = conn.GetState() {
		if !conn.WaitForStateChange(ctx, s) {
			return fmt.Errorf("manager at %s: no answer within %s: %w", addr, connectTimeout, errdefs.ErrUnavailable)
		}
	}
	return nil
}
