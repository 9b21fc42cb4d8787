package image

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/flags"
	nodepb "github.com/muster/muster/proto/node/v1"
)

type removeOptions struct {
	images []string
	force  bool
}

func newRemoveCommand(env *command.Env) *cobra.Command {
	var opts removeOptions
	cmd := &cobra.Command{
		Use:               "rm [OPTIONS] IMAGE [IMAGE...]",
		Aliases:           []string{"remove"},
		Short:             "Remove images from this node",
		Args:              command.MinArgs(1),
		ValidArgsFunction: command.Complete(env, 0, imageNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.images = args
			return runRemove(cmd.Context(), env, opts)
		},
	}
	flags.On(cmd.Flags(), &opts.force, "force", "f", "remove an image though containers were made from it")
	return cmd
}

func runRemove(ctx context.Context, env *command.Env, opts removeOptions) error {
	local, err := env.Local()
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range opts.images {
		r, err := local.RemoveImage(ctx, &nodepb.RemoveImageRequest{Image: name, Force: opts.force})
		if err != nil {
			errs = append(errs, err)
			continue // one bad name must not strand the others
		}
		for _, removed := range r.GetRemoved() {
			fmt.Fprintf(env.Out, "Removed: %s\n", removed)
		}
	}
	return errors.Join(errs...)
}
