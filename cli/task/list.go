package task

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/flags"
	"github.com/muster/muster/cli/render"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/lifecycle"
)

// Options say how to list tasks.
type Options struct {
	Filters   render.Filters
	Format    string
	NoResolve bool
	NoTrunc   bool
	Quiet     bool
}

// AddFlags defines the flags of a list of tasks.
func (o *Options) AddFlags(fs *pflag.FlagSet) {
	o.Filters = render.FilterFlag(fs, "id", "name", "node", "label", "desired-state")
	fs.StringVar(&o.Format, "format", "", `"table", "table TEMPLATE", "json" or a Go template`)
	flags.On(fs, &o.NoResolve, "no-resolve", "", "show ids, not names")
	flags.On(fs, &o.NoTrunc, "no-trunc", "", "shorten nothing")
	flags.On(fs, &o.Quiet, "quiet", "q", "show ids only")
}

// Check finds what is wrong with the options before any call.
func (o *Options) Check() error {
	for _, state := range o.Filters["desired-state"] {
		if _, ok := lifecycle.Parse(state); !ok {
			return command.Misusef("--filter %q: no task state %q; such as running, shutdown or ready", "desired-state="+state, state)
		}
	}
	return Table().Check(o.Format)
}

// List shows the tasks that request and options select.
func List(ctx context.Context, env *command.Env, control controlpb.ControlServiceClient, request *controlpb.ListTasksRequest, opts Options) error {
	for _, name := range opts.Filters["node"] {
		node, err := command.NodeID(ctx, env, name)
		if err != nil {
			return err
		}
		request.NodeIds = append(request.NodeIds, node)
	}
	response, err := control.ListTasks(ctx, request)
	if err != nil {
		return fmt.Errorf("list tasks: %w", err)
	}
	var names Names
	if !opts.NoResolve {
		if names, err = Resolve(ctx, control); err != nil {
			return err
		}
	}
	var tasks []*clusterpb.Task
	for _, t := range response.GetTasks() {
		if selected(t, opts.Filters) {
			tasks = append(tasks, t)
		}
	}
	format := opts.Format
	if opts.Quiet {
		format = "{{.ID}}"
	}
	return Table().Write(env.Out, format, rows(tasks, names, opts, env.Now()))
}

func selected(t *clusterpb.Task, f render.Filters) bool {
	name := fmt.Sprintf("%s.%d", t.GetServiceName(), t.GetSlot())
	return f.MatchPrefix("id", t.GetId()) && f.MatchPrefix("name", name) &&
		f.MatchLabels("label", t.GetSpec().GetContainer().GetLabels()) &&
		f.Match("desired-state", lifecycle.Name(t.GetDesired()))
}
