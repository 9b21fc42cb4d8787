package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/muster/muster/cli/command"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/lifecycle"
)

// drainPoll is how often a drain is looked at. There is no stream of a
// node's tasks, and a drain takes seconds at least.
const drainPoll = 500 * time.Millisecond

// waitEmpty waits until no task is left on a node, and tells how it goes.
func waitEmpty(ctx context.Context, env *command.Env, tasks controlpb.TaskServiceClient, node string, limit time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errDrainTimeout)
	defer cancel()
	left := -1
	for {
		all, err := command.Tasks(ctx, tasks, &controlpb.ListTasksRequest{NodeIds: []string{node}})
		if err != nil && ctx.Err() == nil && !errors.Is(err, context.DeadlineExceeded) { // the manager's clock may be ahead
			return fmt.Errorf("list the tasks left: %w", err)
		}
		if err == nil {
			n := 0
			for _, t := range all {
				if !lifecycle.Ended(t.GetStatus().GetState()) {
					n++
				}
			}
			if n == 0 {
				fmt.Fprintln(env.Out, "drained: no task is left")
				return nil
			}
			if n != left {
				fmt.Fprintf(env.Err, "draining: %d tasks left\n", n)
				left = n
			}
		}
		select {
		case <-ctx.Done():
			return drainEnded(context.Cause(ctx), limit)
		case <-time.After(drainPoll):
		}
	}
}

var errDrainTimeout = errors.New("drain not over in time")

func drainEnded(cause error, limit time.Duration) error {
	if errors.Is(cause, errDrainTimeout) {
		return &command.StatusError{Status: command.ExitTimeout, Err: fmt.Errorf("not drained in %s; the node keeps draining in the background", limit)}
	}
	return &command.StatusError{Status: command.ExitInterrupted, Err: errors.New("interrupted: the node keeps draining in the background")}
}
