package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"

	memberpb "github.com/muster/muster/proto/member/v1"
)

const (
	// drainTimeout bounds how long a leaving node waits for its tasks to be
	// running elsewhere.
	drainTimeout = 2 * time.Minute
	// forgetTimeout bounds telling the managers good-bye.
	forgetTimeout = 10 * time.Second
	// emptyTimeout bounds removing the containers that are left.
	emptyTimeout = 30 * time.Second
)

// leave hands this node's work over, has the cluster forget the node, and
// removes all it has as a member. With force it does not wait for the others
// and cannot fail because of them.
func (n *Node) leave(ctx context.Context, force bool) error {
	end, err := n.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	m := n.member.Load()
	if m == nil {
		return fmt.Errorf("this node is in no cluster: %w", errdefs.ErrFailedPrecondition)
	}
	if err := n.farewell(ctx, m, force); err != nil {
		return err
	}
	n.member.Store(nil)
	ctx = context.WithoutCancel(ctx) // a node that has left by half is of no use
	return errors.Join(m.stop(), empty(ctx, m.machine), m.machine.Plane.Remove(ctx), n.wipe())
}

// farewell makes the cluster ready to be without this node.
func (n *Node) farewell(ctx context.Context, m *member, force bool) error {
	if m.manager != nil && len(m.store.Members()) == 1 {
		if !force {
			return fmt.Errorf("this is the last manager: leaving ends the cluster and all its services; use --force if you mean it: %w", errdefs.ErrFailedPrecondition)
		}
		return nil
	}
	err := n.askToLeave(ctx, m, force)
	if err != nil && force {
		n.log.WarnContext(ctx, "the cluster was not told that this node leaves", "err", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w; with --force this node leaves without the cluster's help", err)
	}
	return nil
}

// askToLeave has the cluster forget this node. Whether it may is asked first, by
// Drain: a node that has to stay keeps its tasks and the lead.
func (n *Node) askToLeave(ctx context.Context, m *member, force bool) error {
	if force {
		return errors.Join(resign(ctx, m), m.connect.forget(ctx, m.others))
	}
	if err := m.drain(ctx); err != nil {
		return err
	}
	if err := resign(ctx, m); err != nil {
		return fmt.Errorf("%w; %s", err, staysDrained)
	}
	if err := m.connect.forget(ctx, m.others); err != nil {
		return fmt.Errorf("%w; %s", err, staysDrained)
	}
	return nil
}

// staysDrained is what has become of a node that was drained and has not left.
const staysDrained = "this node stays drained until \"muster node update --availability active\""

// resign hands leadership over if this node leads: another is to take its vote.
func resign(ctx context.Context, m *member) error {
	if m.manager == nil || !m.store.IsLeader() {
		return nil
	}
	if err := m.store.TransferLeadership(ctx); err != nil {
		return fmt.Errorf("hand leadership over: %w", err)
	}
	return nil
}

// forget has the cluster forget the node that the credentials are of. The cluster
// took it for a node of its own a moment ago: that it is none now is what an
// earlier call achieved, whose answer was lost.
func (c connector) forget(ctx context.Context, managers func() []string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, forgetTimeout, fmt.Errorf("no manager took note of the leave within %s: %w", forgetTimeout, errdefs.ErrUnavailable))
	defer cancel()
	err := c.askAny(ctx, managers, func(ctx context.Context, conn *grpc.ClientConn) error {
		_, err := memberpb.NewMemberServiceClient(conn).Leave(ctx, &memberpb.LeaveRequest{})
		return err
	})
	if errdefs.IsPermissionDenied(err) && c.credentials().Check(time.Now()) == nil {
		return nil
	}
	return err
}

// drain waits until none of this node's tasks runs any more.
func (m *member) drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	drained := false
	for {
		var left uint32
		err := m.ask(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
			resp, err := memberpb.NewMemberServiceClient(conn).Drain(ctx, &memberpb.DrainRequest{})
			left = resp.GetTasks()
			return err
		})
		switch {
		case err != nil && drained:
			return fmt.Errorf("move this node's tasks: %w; %s", err, staysDrained)
		case err != nil:
			return fmt.Errorf("move this node's tasks: %w", err)
		case left == 0:
			return nil
		}
		if drained = true; !pause(ctx) {
			return fmt.Errorf("%d tasks still run here after %s, since no other node may run them (\"muster service ps\" says why); %s: %w",
				left, drainTimeout, staysDrained, errdefs.ErrUnavailable)
		}
	}
}

// empty removes every container that muster has on this node.
func empty(ctx context.Context, on *Machine) error {
	ctx, cancel := context.WithTimeoutCause(ctx, emptyTimeout, fmt.Errorf("containers are not removed after %s: %w", emptyTimeout, errdefs.ErrUnavailable))
	defer cancel()
	traces, err := on.Executor.List(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, t := range traces {
		if t.Running {
			errs = append(errs, on.Executor.Kill(ctx, t.TaskID))
		}
		errs = append(errs, on.Executor.Remove(ctx, t.TaskID))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return on.Release(ctx)
}
