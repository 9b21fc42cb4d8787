package image

import (
	"github.com/spf13/cobra"

	"github.com/muster/muster/cli/command"
)

// New returns the image command.
func New(env *command.Env) *cobra.Command {
	return command.Group("image", "Manage the images on this node",
		newListCommand(env),
		newLoadCommand(env),
		newPullCommand(env),
		newRemoveCommand(env),
	)
}
