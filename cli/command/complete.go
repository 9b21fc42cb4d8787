package command

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	controlpb "github.com/muster/muster/proto/control/v1"
)

// completeTimeout bounds how long a shell waits for names.
const completeTimeout = time.Second

// Complete returns the completion of a command's arguments from what list
// finds. At most most arguments are completed, any number when it is 0, and
// none is offered twice. A shell can show no errors: what cannot be listed in
// a second is not offered.
func Complete(env *Env, most int, list func(context.Context, *Env) ([]string, error)) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if most > 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		env.Patience = completeTimeout
		ctx, cancel := context.WithTimeout(cmd.Context(), completeTimeout)
		defer cancel()
		names, err := list(ctx, env)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		names = slices.DeleteFunc(names, func(name string) bool {
			return name == "" || !strings.HasPrefix(name, begun) || slices.Contains(args, name)
		})
		slices.Sort(names)
		return slices.Compact(names), cobra.ShellCompDirectiveNoFileComp
	}
}

// CompleteFlag offers words as the values of a flag.
func CompleteFlag(cmd *cobra.Command, flag string, words ...string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the command has no such flag
	}
}

// Words is a list for Complete that is always the same.
func Words(words ...string) func(context.Context, *Env) ([]string, error) {
	return func(context.Context, *Env) ([]string, error) { return slices.Clone(words), nil }
}

// NodeNames lists the host names of the nodes.
func NodeNames(ctx context.Context, env *Env) ([]string, error) {
	conn, err := env.Control()
	if err != nil {
		return nil, err
	}
	nodes := controlpb.NewNodeServiceClient(conn)
	all, err := Nodes(ctx, nodes)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, n := range all {
		names = append(names, n.GetNode().GetDescription().GetHostname())
	}
	return names, nil
}

// NodeNamesAndSelf is NodeNames for commands that also take "self".
func NodeNamesAndSelf(ctx context.Context, env *Env) ([]string, error) {
	names, err := NodeNames(ctx, env)
	return append(names, Self), err
}
