package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"

	memberpb "github.com/muster/muster/proto/member/v1"
)

const (
	// drainTimeout bounds how long a leaving node waits for its tasks to be
	// running elsewhere.
	drainTimeout = 2 * time.Minute
	drainPoll    = 200 * time.Millisecond
	// forgetTimeout bounds telling the managers good-bye.
	forgetTimeout = 10 * time.Second
	// emptyTimeout bounds removing the containers that are left.
	emptyTimeout = 30 * time.Second
)

// leaveCluster hands this node's work over, has the cluster forget the node,
// and removes all it has as a member. With force it does not wait for the
// others and cannot fail because of them.
func (d *Daemon) leaveCluster(ctx context.Context, force bool) error {
	d.changing.Lock()
	defer d.changing.Unlock()
	m := d.member.Load()
	if m == nil {
		return fmt.Errorf("this node is in no cluster: %w", errdefs.ErrFailedPrecondition)
	}
	if err := d.farewell(ctx, m, force); err != nil {
		return err
	}
	d.member.Store(nil)
	ctx = context.WithoutCancel(ctx) // half a leave would be no state to be in
	return errors.Join(m.stop(), d.empty(ctx, m), m.plane.Remove(ctx), d.wipe())
}

// farewell makes the cluster ready to be without this node.
func (d *Daemon) farewell(ctx context.Context, m *member, force bool) error {
	if m.manager != nil && len(m.store.Members()) == 1 {
		if !force {
			return fmt.Errorf("this is the last manager: leaving ends the cluster and all its services; use --force if you mean it: %w", errdefs.ErrFailedPrecondition)
		}
		return nil
	}
	err := d.askToLeave(ctx, m, force)
	if err != nil && force {
		d.log.WarnContext(ctx, "the cluster was not told that this node leaves", "err", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w; with --force this node leaves without the cluster's help", err)
	}
	return nil
}

func (d *Daemon) askToLeave(ctx context.Context, m *member, force bool) error {
	if m.manager != nil && m.store.IsLeader() {
		if err := m.store.TransferLeadership(ctx); err != nil {
			return fmt.Errorf("hand leadership over: %w", err)
		}
	}
	conn, err := m.dialManager()
	if err != nil {
		return err
	}
	defer conn.Close()
	client := memberpb.NewMemberServiceClient(conn)
	if !force {
		if err := drain(ctx, client); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, forgetTimeout, fmt.Errorf("no manager took the leave within %s: %w", forgetTimeout, errdefs.ErrUnavailable))
	defer cancel()
	return untilServed(ctx, func() error {
		_, err := client.Leave(ctx, &memberpb.LeaveRequest{})
		return err
	})
}

// drain waits until none of this node's tasks runs any more.
func drain(ctx context.Context, client memberpb.MemberServiceClient) error {
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	for {
		var left uint32
		err := untilServed(ctx, func() error {
			resp, err := client.Drain(ctx, &memberpb.DrainRequest{})
			left = resp.GetTasks()
			return err
		})
		if err != nil {
			return fmt.Errorf("move this node's tasks: %w", err)
		}
		if left == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d tasks still run here after %s, since no other node may run them (\"muster service ps\" says why); "+
				"this node stays drained until \"muster node update --availability active\": %w", left, drainTimeout, errdefs.ErrUnavailable)
		case <-time.After(drainPoll):
		}
	}
}

// untilServed repeats a call while no manager can answer it, such as during
// an election.
func untilServed(ctx context.Context, call func() error) error {
	for {
		err := call()
		if !errdefs.IsUnavailable(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(drainPoll):
		}
	}
}

// empty removes every container that muster has on this node, and what only
// containers need. containerd stays: it also keeps the images.
func (d *Daemon) empty(ctx context.Context, m *member) error {
	ctx, cancel := context.WithTimeoutCause(ctx, emptyTimeout, fmt.Errorf("containers are not removed after %s: %w", emptyTimeout, errdefs.ErrUnavailable))
	defer cancel()
	x, err := d.runtime.executor(d.cfg.Name, &network{plane: m.plane, dir: d.netnsDir()})
	if err != nil {
		return err
	}
	found, err := x.List(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, f := range found {
		if f.Running {
			errs = append(errs, x.Kill(ctx, f.TaskID))
		}
		errs = append(errs, x.Remove(ctx, f.TaskID))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return errors.Join(x.RemoveCgroups(), d.runtime.stopIdleLogger(ctx))
}
