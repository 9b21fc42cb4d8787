package image

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/flags"
	"github.com/muster/muster/cli/login"
	controlpb "github.com/muster/muster/proto/control/v1"
)

type pullOptions struct {
	image string
	quiet bool
}

func newPullCommand(env *command.Env) *cobra.Command {
	var opts pullOptions
	cmd := &cobra.Command{
		Use:               "pull [OPTIONS] NAME[:TAG|@DIGEST]",
		Short:             "Fetch an image from its registry or from another node",
		Args:              command.ExactArgs(1),
		ValidArgsFunction: command.Complete(env, 1, imageNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.image = args[0]
			return runPull(cmd.Context(), env, opts)
		},
	}
	flags.On(cmd.Flags(), &opts.quiet, "quiet", "q", "suppress progress output")
	return cmd
}

func runPull(ctx context.Context, env *command.Env, opts pullOptions) error {
	image, err := flags.Image.Parse(opts.image)
	if err != nil {
		return command.Misusef("image %q: %w", opts.image, err)
	}
	auth, err := login.For(ctx, env.Getenv, image, env.Warn)
	if err != nil {
		return err
	}
	node, err := env.Images()
	if err != nil {
		return err
	}
	stream, err := node.PullImage(ctx, &controlpb.PullImageRequest{Image: image, RegistryAuth: auth})
	if err != nil {
		return err
	}
	images, err := watch(env, opts.quiet, func() (*controlpb.ImageProgress, error) {
		r, err := stream.Recv()
		return r.GetProgress(), err
	})
	if err != nil {
		return err // it names the image
	}
	for _, i := range images {
		fmt.Fprintln(env.Out, i.GetName())
	}
	return nil
}
