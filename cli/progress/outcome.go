package progress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/muster/muster/cli/command"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/id"
	logspb "github.com/muster/muster/proto/logs/v1"
	"github.com/muster/muster/proto/rollout"
)

const (
	// tailLines of a failed task's logs are shown.
	tailLines = 10
	// explainTimeout bounds the questions asked about a failure.
	explainTimeout = 5 * time.Second
)

func orEnded(err error) error {
	if errors.Is(err, io.EOF) {
		return errEnded
	}
	return err
}

// outcome turns the verdict into what the command returns.
func (f *follower) outcome(ctx context.Context) error {
	if f.report.Unrouted {
		fmt.Fprintf(f.env.Err, "%s: not every node has confirmed in %s that it routes to the tasks as they are; see \"muster node doctor\"\n", f.name, routeLimit)
	}
	message := ""
	if f.report.Message != "" {
		message = ": " + strings.TrimPrefix(f.report.Message, "rollback completed, after: ")
	}
	switch f.report.Verdict {
	case Converged, Waiting:
		switch {
		case f.opts.Quiet:
		case f.report.Desired == 0:
			fmt.Fprintf(f.env.Err, "%s: converged; it has no replicas, so nothing shows that they would run\n", f.name)
		default:
			fmt.Fprintf(f.env.Err, "%s: converged\n", f.name)
		}
		return nil
	case Canary:
		what := "the canaries are running; let them take over"
		if f.report.Desired == 0 {
			what = "it has no replicas, so its canaries start once it is scaled up; let the update go on without them"
		}
		if !f.opts.Quiet {
			fmt.Fprintf(f.env.Err, "%s: %s with \"muster service promote %s\", or go back with \"muster service rollback %s\"\n", f.name, what, f.name, f.name)
		}
		return nil
	case RolledBack:
		f.explain(ctx)
		return &command.StatusError{Status: command.ExitRolledBack, Err: fmt.Errorf("service %s: the update failed and was rolled back%s", f.name, message)}
	case Paused:
		f.explain(ctx)
		why := f.report.Message
		if phase := rollout.Name(f.report.Phase); !strings.HasPrefix(why, phase) { // the managers' words may be the same
			why = strings.TrimSuffix(phase+": "+why, ": ")
		}
		return &command.StatusError{Status: command.ExitPaused, Err: fmt.Errorf("service %s: %s; continue with \"muster service resume %s\"%s",
			f.name, why, f.name, f.back())}
	case Flawed:
		f.explain(ctx)
		return fmt.Errorf("service %s%s", f.name, message)
	case Ended:
		if f.report.Failure.TaskID == "" {
			if !f.opts.Quiet {
				fmt.Fprintf(f.env.Err, "%s: its tasks have ended and are not restarted\n", f.name)
			}
			return nil
		}
		f.explain(ctx)
		return fmt.Errorf("service %s: tasks failed and are not restarted", f.name)
	case Removed:
	}
	return fmt.Errorf("service %s was removed while waiting for it", f.name)
}

// back says how to go back from where the rollout is paused: a rollback has
// nothing before it that would be known to work.
func (f *follower) back() string {
	if rollout.IsRollback(f.report.Phase) {
		return fmt.Sprintf(", or choose a spec of \"muster service history %s\" for \"muster service rollback --to\"", f.name)
	}
	return fmt.Sprintf(" or go back with \"muster service rollback %s\"", f.name)
}

// interrupted answers Ctrl-C: what was asked for goes on.
func (f *follower) interrupted() error {
	return &command.StatusError{Status: command.ExitInterrupted, Err: fmt.Errorf(
		"interrupted: service %s keeps converging in the background; see \"muster service ps %s\"", f.name, f.name)}
}

// timedOut reports a wait that took too long.
func (f *follower) timedOut(ctx context.Context, err error) error {
	// The wait is over, so its context is too: ask under another one.
	f.explain(context.WithoutCancel(ctx))
	why := fmt.Sprintf("not converged in %s", f.opts.Timeout)
	if f.opts.Timeout == 0 {
		why = strings.TrimSuffix(err.Error(), ": "+errTimeout.Error())
	}
	return &command.StatusError{Status: command.ExitTimeout, Err: fmt.Errorf(
		"service %s: %s (%s); it keeps converging in the background, see \"muster service ps %s\"",
		f.name, why, count(f.report), f.name)}
}

// explain shows the error and the last log lines of the task that failed.
func (f *follower) explain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, explainTimeout)
	defer cancel()
	failure := f.report.Failure
	if failure.TaskID == "" {
		for _, s := range f.report.Slots {
			if !s.Done && s.Reason != "" {
				fmt.Fprintf(f.env.Err, "%s\n", view{f.name, f.nodeName}.slot(s))
				return
			}
		}
		return
	}
	where := ""
	if failure.NodeID != "" {
		where = " on " + f.nodeName(failure.NodeID)
	}
	fmt.Fprintf(f.env.Err, "task %s.%d (%s)%s: %s\n", f.name, failure.Slot, id.Short(failure.TaskID), command.Printable(where), command.Printable(failure.Err))
	lines, err := f.tail(ctx, failure.TaskID)
	if len(lines) > 0 {
		fmt.Fprintln(f.env.Err, "its last log lines:")
	}
	for _, line := range lines {
		fmt.Fprintf(f.env.Err, "  | %s\n", line)
	}
	if err != nil {
		fmt.Fprintf(f.env.Err, "its logs cannot be read: %s\n", command.Text(err))
	}
}

// tail fetches the last log lines of a task.
func (f *follower) tail(ctx context.Context, task string) (lines []string, err error) {
	stream, err := f.ask.logs.SubscribeLogs(ctx, &controlpb.SubscribeLogsRequest{TaskIds: []string{task}, Options: &logspb.LogOptions{Tail: tailLines}})
	if err != nil {
		return nil, err
	}
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return lines, nil
		}
		if err != nil {
			return lines, err
		}
		for _, m := range r.GetMessages() {
			lines = append(lines, command.Printable(strings.TrimRight(string(m.GetData()), "\r\n")))
		}
		lines = lines[max(0, len(lines)-tailLines):] // of a line that never ends there may be many pieces
	}
}

// learnNodes asks for the names of nodes that are not known yet. They are a
// comfort: without them the ids are shown.
func (f *follower) learnNodes(ctx context.Context) {
	unknown := false
	for _, s := range f.report.Slots {
		if _, ok := f.nodes[s.NodeID]; s.NodeID != "" && !ok {
			unknown = true
			f.nodes[s.NodeID] = ""
		}
	}
	if !unknown {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, explainTimeout)
	defer cancel()
	nodes, err := command.Nodes(ctx, f.ask.nodes)
	if err != nil {
		return
	}
	for _, n := range nodes {
		f.nodes[n.GetNode().GetId()] = n.GetNode().GetDescription().GetHostname()
	}
}

// nodeName is the host name of a node, or its id.
func (f *follower) nodeName(node string) string {
	if name := f.nodes[node]; name != "" {
		return name
	}
	return id.Short(node)
}
