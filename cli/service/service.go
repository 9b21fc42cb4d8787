package service

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/flags"
	"github.com/muster/muster/cli/progress"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// New returns the service command.
func New(env *command.Env) *cobra.Command {
	return command.Group("service", "Manage services",
		newCreateCommand(env),
		newHistoryCommand(env),
		newInspectCommand(env),
		newLogsCommand(env),
		newListCommand(env),
		newPauseCommand(env),
		newPromoteCommand(env),
		newTasksCommand(env),
		newRestartCommand(env),
		newResumeCommand(env),
		newRemoveCommand(env),
		newRollbackCommand(env),
		newScaleCommand(env),
		newUpdateCommand(env),
	)
}

// waitOptions say whether and how a command waits for the service.
type waitOptions struct {
	detach, quiet bool
	timeout       time.Duration
}

func (o *waitOptions) addFlags(fs *pflag.FlagSet) {
	flags.On(fs, &o.detach, "detach", "d", "return immediately, without waiting for the service to converge")
	flags.On(fs, &o.quiet, "quiet", "q", "suppress progress output")
	flags.Var(fs, "timeout", "", "wait at most this long; 0 waits as long as there is progress", flags.Limit, flags.Into(&o.timeout))
}

// wait follows svc unless the command is detached.
func (o waitOptions) wait(ctx context.Context, env *command.Env, svc *clusterpb.Service, goal progress.Goal) error {
	if o.detach {
		return nil
	}
	goal.Version, goal.Rollout = svc.GetVersion(), svc.GetUpdate().GetVersion()
	return progress.Follow(ctx, env, svc, progress.Options{Goal: goal, Quiet: o.quiet, Timeout: o.timeout})
}
