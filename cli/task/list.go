package task

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/flags"
	"github.com/muster/muster/cli/noun"
	"github.com/muster/muster/cli/render"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/pod"
)

// Select says which tasks the arguments of a command mean. A request beside an
// error means those that were found; nil means none.
type Select func(ctx context.Context, conn grpc.ClientConnInterface, args []string) (*controlpb.ListTasksRequest, error)

// Command completes cmd, which has its names, texts and arguments, to one that
// lists the tasks that its arguments mean.
func Command(env *command.Env, cmd *cobra.Command, which Select) *cobra.Command {
	var (
		opts      options
		noResolve bool
	)
	flags.On(cmd.Flags(), &noResolve, "no-resolve", "", "show IDs instead of names")
	flags.On(cmd.Flags(), &opts.noTrunc, "no-trunc", "", "do not shorten output")
	return noun.List[grpc.ClientConnInterface, *clusterpb.Task]{
		Connect: env.Control,
		Table:   table,
		Filters: filters(),
		Find: func(ctx context.Context, conn grpc.ClientConnInterface, args []string, f render.Filters) ([]*clusterpb.Task, error) {
			request, errSelect := which(ctx, conn, args)
			if request == nil {
				return nil, errSelect
			}
			tasks, err := find(ctx, env, controlpb.NewTaskServiceClient(conn), request, f)
			if err == nil && !noResolve {
				opts.names, err = Resolve(ctx, controlpb.NewNodeServiceClient(conn))
			}
			if err != nil {
				return nil, errors.Join(errSelect, err)
			}
			return tasks, errSelect
		},
		Compare: compare,
		Rows:    func(tasks []*clusterpb.Task) []render.Row { return rows(tasks, opts, env.Now()) },
	}.Command(env, cmd)
}

// options say how tasks are shown. Names is the zero value to show ids.
type options struct {
	names   Names
	noTrunc bool
}

// find asks for the tasks of request, on the nodes that the filter names.
func find(ctx context.Context, env *command.Env, client controlpb.TaskServiceClient, request *controlpb.ListTasksRequest, f render.Filters) ([]*clusterpb.Task, error) {
	for _, name := range f["node"] {
		node, err := command.NodeID(ctx, env, name)
		if err != nil {
			return nil, err
		}
		request.NodeIds = append(request.NodeIds, node)
	}
	tasks, err := command.Tasks(ctx, client, request)
	if err != nil {
		return nil, fmt.Errorf("list tasks: %w", err)
	}
	if tasks == nil {
		return []*clusterpb.Task{}, nil // none, which is shown too
	}
	return tasks, nil
}

func filters() []noun.Filter[*clusterpb.Task] {
	return []noun.Filter[*clusterpb.Task]{
		noun.Prefix("id", (*clusterpb.Task).GetId),
		noun.Prefix("name", func(t *clusterpb.Task) string { return fmt.Sprintf("%s.%d", t.GetServiceName(), t.GetSlot()) }),
		{Key: "node"}, // find asks for no others
		noun.Labels("label", func(t *clusterpb.Task) map[string]string { return pod.Main(t.GetSpec()).GetLabels() }),
		{Key: "desired-state", Check: checkState, Match: func(f render.Filters, t *clusterpb.Task) bool {
			return f.Match("desired-state", lifecycle.Name(t.GetDesired()))
		}},
	}
}

func checkState(f render.Filters) error {
	for _, state := range f["desired-state"] {
		if _, ok := lifecycle.Parse(state); !ok {
			return command.Misusef("--filter %q: no task state %q; such as running, shutdown or ready", "desired-state="+state, state)
		}
	}
	return nil
}
