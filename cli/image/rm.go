package image

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/flags"
	"github.com/muster/muster/cli/noun"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/image"
)

func newRemoveCommand(env *command.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "rm [OPTIONS] IMAGE [IMAGE...]",
		Aliases:           []string{"remove"},
		Short:             "Remove images from this node",
		Args:              command.MinArgs(1),
		ValidArgsFunction: command.Complete(env, 0, imageNames),
	}
	var force bool
	flags.On(cmd.Flags(), &force, "force", "f", "remove an image even if containers were made from it, or the cluster needs it")
	return noun.Remove[controlpb.ImageServiceClient]{
		Connect: env.Images,
		Remove: func(ctx context.Context, node controlpb.ImageServiceClient, name string) (lines []string, err error) {
			r, err := node.RemoveImage(ctx, &controlpb.RemoveImageRequest{Image: name, Force: force})
			for _, name := range r.GetUntagged() {
				lines = append(lines, "Untagged: "+image.Familiar(name))
			}
			for _, digest := range r.GetDeleted() {
				lines = append(lines, "Deleted: "+digest)
			}
			return lines, err
		},
	}.Command(env, cmd)
}
