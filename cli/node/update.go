package node

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/flags"
	"github.com/muster/muster/cli/noun"
	"github.com/muster/muster/cli/task"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
)

type updateOptions struct {
	node         string
	availability clusterpb.NodeSpec_Availability // unspecified: as it is
	labelAdd     [][2]string
	labelRemove  []string
	wait         bool
	timeout      time.Duration
}

func newUpdateCommand(env *command.Env) *cobra.Command {
	var opts updateOptions
	cmd := &cobra.Command{
		Use:               "update [OPTIONS] NODE",
		Short:             "Change a node's availability and labels",
		Long:              "Change a node's availability and labels, and with --wait follow a drain to its end.\n\n" + command.DrainExitHelp,
		Args:              command.ExactArgs(1),
		ValidArgsFunction: command.Complete(env, 1, command.NodeNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.node = args[0]
			return runUpdate(cmd.Context(), env, opts)
		},
	}
	fs := cmd.Flags()
	flags.Var(fs, "availability", "", "active, pause (no new tasks) or drain (no tasks)", flags.Availability, flags.Into(&opts.availability))
	command.CompleteFlag(cmd, "availability", flags.Availabilities()...)
	flags.Repeatable(flags.Var(fs, "label-add", "", "add or replace a node label", flags.Label, flags.Append(&opts.labelAdd)))
	flags.Repeatable(flags.Var(fs, "label-rm", "", "remove a node label by its key", flags.Name, flags.Append(&opts.labelRemove)))
	flags.On(fs, &opts.wait, "wait", "", "with --availability drain, wait until the node has no tasks left")
	opts.timeout = 15 * time.Minute
	flags.Default(flags.Var(fs, "timeout", "", "with --wait, wait at most this long", flags.Limit, flags.Into(&opts.timeout)), "15m")
	return cmd
}

func runUpdate(ctx context.Context, env *command.Env, opts updateOptions) error {
	if opts.wait && opts.availability != clusterpb.NodeSpec_AVAILABILITY_DRAIN {
		return command.Misusef("--wait goes with --availability drain")
	}
	conn, err := env.Control()
	if err != nil {
		return err
	}
	nodes := controlpb.NewNodeServiceClient(conn)
	id := ""
	err = noun.Update(ctx,
		func() (*controlpb.NodeView, error) { return get(ctx, env, nodes, opts.node) },
		func(v *controlpb.NodeView) error {
			n := v.GetNode()
			id = n.GetId()
			_, err := nodes.UpdateNode(ctx, &controlpb.UpdateNodeRequest{Node: id, Version: n.GetVersion(), Spec: opts.apply(n.GetSpec())})
			return err
		})
	if err != nil {
		return err
	}
	fmt.Fprintln(env.Out, opts.node)
	if !opts.wait {
		return nil
	}
	names, err := task.Resolve(ctx, nodes)
	if err != nil {
		return err
	}
	return waitEmpty(ctx, env, controlpb.NewTaskServiceClient(conn), names, id, opts.timeout)
}

// apply returns the spec with the changes.
func (o updateOptions) apply(old *clusterpb.NodeSpec) *clusterpb.NodeSpec {
	s := &clusterpb.NodeSpec{}
	proto.Merge(s, old)
	if o.availability != clusterpb.NodeSpec_AVAILABILITY_UNSPECIFIED {
		s.Availability = o.availability
	}
	labels := make(map[string]string)
	maps.Copy(labels, s.GetLabels())
	for _, key := range o.labelRemove {
		delete(labels, key)
	}
	for _, kv := range o.labelAdd {
		labels[kv[0]] = kv[1]
	}
	s.Labels = labels
	return s
}
