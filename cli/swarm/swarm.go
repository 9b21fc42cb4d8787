package swarm

import (
	"github.com/spf13/cobra"

	"github.com/muster/muster/cli/command"
)

// New returns the swarm command.
func New(env *command.Env) *cobra.Command {
	return command.Group("swarm", "Create, join and leave a cluster",
		newInitCommand(env),
		newJoinCommand(env),
		newJoinTokenCommand(env),
		newLeaveCommand(env),
		newMoveCommand(env),
		newUpdateCommand(env),
	)
}
