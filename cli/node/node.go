package node

import (
	"github.com/spf13/cobra"

	"github.com/muster/muster/cli/command"
)

// New returns the node command.
func New(env *command.Env) *cobra.Command {
	return command.Group("node", "Manage nodes",
		newDoctorCommand(env),
		newInspectCommand(env),
		newListCommand(env),
		newTasksCommand(env),
		newRemoveCommand(env),
		newUpdateCommand(env),
	)
}
