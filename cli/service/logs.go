package service

import (
	"context"
	"fmt"
	"strconv"

	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/flags"
	"github.com/muster/muster/cli/logprint"
	"github.com/muster/muster/cli/task"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	logspb "github.com/muster/muster/proto/logs/v1"
)

type logsOptions struct {
	logprint.Options
	target    string
	noResolve bool
	part      *logspb.LogOptions // of each task's log
}

func newLogsCommand(env *command.Env) *cobra.Command {
	opts := logsOptions{part: &logspb.LogOptions{Tail: -1}}
	cmd := &cobra.Command{
		Use:   "logs [OPTIONS] SERVICE|TASK",
		Short: "Show the output of a service or task",
		Args:  command.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.target = args[0]
			return runLogs(cmd.Context(), env, opts)
		},
	}
	fs := cmd.Flags()
	flags.On(fs, &opts.part.Follow, "follow", "f", "keep showing new lines as they come")
	flags.On(fs, &opts.Timestamps, "timestamps", "t", "show the time of each line")
	flags.On(fs, &opts.noResolve, "no-resolve", "", "show IDs instead of names")
	flags.On(fs, &opts.NoTaskIDs, "no-task-ids", "", "leave out task IDs")
	flags.On(fs, &opts.NoTrunc, "no-trunc", "", "do not shorten output")
	flags.On(fs, &opts.Raw, "raw", "", "show lines as they are, without a prefix")
	flags.On(fs, &opts.Details, "details", "", "show the IDs of each line's node, service and task")
	flags.Default(flags.Var(fs, "tail", "n", `number of lines to show from the end of each task's log, or "all"`, tailKind(), flags.Into(&opts.part.Tail)), "all")
	moment := flags.Kind[*timestamppb.Timestamp]{Name: "time", Parse: func(s string) (*timestamppb.Timestamp, error) {
		t, err := logprint.ParseTime(s, env.Now())
		return timestamppb.New(t), err
	}}
	flags.Var(fs, "since", "", "show lines after a time (2026-01-02T15:04:05Z) or of the last while (42m)", moment, flags.Into(&opts.part.Since))
	flags.Var(fs, "until", "", "show lines before a time (2026-01-02T15:04:05Z) or before a while ago (42m)", moment, flags.Into(&opts.part.Until))
	return cmd
}

func tailKind() flags.Kind[int64] {
	return flags.Kind[int64]{Name: "lines", Parse: func(s string) (int64, error) {
		if s == "all" {
			return -1, nil
		}
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < 0 {
			return 0, command.Misusef(`must be a number of lines, 0 or more, or "all"`)
		}
		return n, nil
	}}
}

func runLogs(ctx context.Context, env *command.Env, opts logsOptions) error {
	conn, err := env.Control()
	if err != nil {
		return err
	}
	tasks := controlpb.NewTaskServiceClient(conn)
	request := &controlpb.SubscribeLogsRequest{Options: opts.part}
	known, err := selectTasks(ctx, controlpb.NewServiceServiceClient(conn), tasks, opts.target, request)
	if err != nil {
		return err
	}
	printer := &logprint.Printer{
		Out: env.Out, Err: env.Err, Options: opts.Options, Tasks: known,
		Lookup: func(ctx context.Context, id string) (*clusterpb.Task, error) {
			r, err := tasks.GetTask(ctx, &controlpb.GetTaskRequest{Task: id})
			return r.GetTask(), err
		},
	}
	if !opts.noResolve {
		if printer.Names, err = task.Resolve(ctx, controlpb.NewNodeServiceClient(conn)); err != nil {
			return err
		}
	}
	err = copyLogs(ctx, controlpb.NewLogServiceClient(conn), printer, request)
	if ctx.Err() != nil {
		return &command.StatusError{Status: command.ExitInterrupted, Err: context.Canceled}
	}
	if err != nil {
		return fmt.Errorf("read logs of %s: %w", opts.target, err)
	}
	return nil
}

// selectTasks names in request the service or else the task called name, and
// returns the tasks that are known of it.
func selectTasks(
	ctx context.Context, services controlpb.ServiceServiceClient, tasks controlpb.TaskServiceClient,
	name string, request *controlpb.SubscribeLogsRequest,
) (map[string]*clusterpb.Task, error) {
	svc, err := getService(ctx, services, name, 0)
	if errdefs.IsNotFound(err) {
		r, taskErr := tasks.GetTask(ctx, &controlpb.GetTaskRequest{Task: name})
		if errdefs.IsNotFound(taskErr) {
			return nil, fmt.Errorf("no service or task is called %s: %w", name, errdefs.ErrNotFound)
		}
		if taskErr != nil {
			return nil, taskErr
		}
		request.TaskIds = []string{r.GetTask().GetId()}
		return map[string]*clusterpb.Task{r.GetTask().GetId(): r.GetTask()}, nil
	}
	if err != nil {
		return nil, err
	}
	request.ServiceIds = []string{svc.GetId()}
	all, err := command.Tasks(ctx, tasks, &controlpb.ListTasksRequest{ServiceIds: request.GetServiceIds()})
	if err != nil {
		return nil, fmt.Errorf("list tasks: %w", err)
	}
	known := make(map[string]*clusterpb.Task)
	for _, t := range all {
		known[t.GetId()] = t
	}
	return known, nil
}
