package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/task"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/lifecycle"
)

const (
	// drainPoll is how often a drain is looked at. There is no stream of a
	// node's tasks, and a drain takes seconds at least.
	drainPoll = 500 * time.Millisecond
	// drainReasons is after how many looks it is asked what the tasks wait for.
	drainReasons = 10
)

// waitEmpty waits until no task is left on a node, and tells how it goes.
func waitEmpty(
	ctx context.Context, env *command.Env, tasks controlpb.TaskServiceClient, names task.Names, node string, limit time.Duration,
) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errDrainTimeout)
	defer cancel()
	told, waits := "", ""
	for look := 1; ; look++ {
		left, err := tasksLeft(ctx, tasks, node)
		if err == nil && len(left) == 0 {
			fmt.Fprintln(env.Out, "drained: no task is left")
			return nil
		}
		if err == nil && look%drainReasons == 0 {
			waits, err = waitsFor(ctx, tasks, names, left)
		}
		if err != nil && ctx.Err() == nil && !errors.Is(err, context.DeadlineExceeded) { // the manager's clock may be ahead
			return fmt.Errorf("list the tasks left: %w", err)
		}
		if text := progressOf(len(left), waits); err == nil && text != told {
			fmt.Fprintln(env.Err, command.Printable(text))
			told = text
		}
		select {
		case <-ctx.Done():
			return drainEnded(context.Cause(ctx), limit, waits)
		case <-time.After(drainPoll):
		}
	}
}

func progressOf(left int, waits string) string {
	if left == 1 {
		return "draining: 1 task left" + waits
	}
	return fmt.Sprintf("draining: %d tasks left%s", left, waits)
}

// tasksLeft lists the tasks on a node that have not ended.
func tasksLeft(ctx context.Context, tasks controlpb.TaskServiceClient, node string) ([]*clusterpb.Task, error) {
	all, err := command.Tasks(ctx, tasks, &controlpb.ListTasksRequest{NodeIds: []string{node}})
	return slices.DeleteFunc(all, func(t *clusterpb.Task) bool { return lifecycle.Ended(t.GetStatus().GetState()) }), err
}

// waitsFor says why a task that is to take the place of one of those left has
// none; "" when each has.
func waitsFor(ctx context.Context, tasks controlpb.TaskServiceClient, names task.Names, left []*clusterpb.Task) (string, error) {
	slots := make(map[string]bool)
	r := new(controlpb.ListTasksRequest)
	for _, t := range left {
		slots[names.Task(t)] = true
		r.ServiceIds = append(r.ServiceIds, t.GetServiceId())
	}
	slices.Sort(r.ServiceIds)
	r.ServiceIds = slices.Compact(r.ServiceIds)
	all, err := command.Tasks(ctx, tasks, r)
	if err != nil {
		return "", err
	}
	var waits []string
	for _, t := range all {
		name, reason := names.Task(t), t.GetStatus().GetErr()
		if t.GetNodeId() == "" && slots[name] && reason != "" && !lifecycle.Ended(t.GetStatus().GetState()) {
			waits = append(waits, fmt.Sprintf("; %s waits: %s", name, reason))
		}
	}
	if len(waits) == 0 {
		return "", nil
	}
	slices.Sort(waits)
	if len(waits) > 1 {
		return fmt.Sprintf("%s, and %d more", waits[0], len(waits)-1), nil
	}
	return waits[0], nil
}

var errDrainTimeout = errors.New("drain not over in time")

func drainEnded(cause error, limit time.Duration, waits string) error {
	if errors.Is(cause, errDrainTimeout) {
		return &command.StatusError{Status: command.ExitTimeout, Err: fmt.Errorf("not drained in %s%s; the node keeps draining in the background", limit, waits)}
	}
	return &command.StatusError{Status: command.ExitInterrupted, Err: errors.New("interrupted: the node keeps draining in the background")}
}
