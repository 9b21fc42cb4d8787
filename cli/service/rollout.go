package service

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/progress"
	controlpb "github.com/muster/muster/proto/control/v1"
)

type rolloutOptions struct {
	waitOptions
	service string
	action  controlpb.ControlRolloutRequest_Action
}

func newPauseCommand(env *command.Env) *cobra.Command {
	opts := rolloutOptions{action: controlpb.ControlRolloutRequest_ACTION_PAUSE}
	opts.detach = true // a paused rollout does not converge
	cmd := newRolloutCommand(env, &opts, "pause SERVICE", "Pause the rollout of a service")
	cmd.Long = "" // nor has it the exit statuses of a wait
	return cmd
}

func newResumeCommand(env *command.Env) *cobra.Command {
	opts := rolloutOptions{action: controlpb.ControlRolloutRequest_ACTION_RESUME}
	cmd := newRolloutCommand(env, &opts, "resume [OPTIONS] SERVICE", "Resume the paused rollout of a service")
	opts.addFlags(cmd.Flags())
	return cmd
}

func newPromoteCommand(env *command.Env) *cobra.Command {
	opts := rolloutOptions{action: controlpb.ControlRolloutRequest_ACTION_PROMOTE}
	cmd := newRolloutCommand(env, &opts, "promote [OPTIONS] SERVICE", "Let the canaries of a service take over")
	opts.addFlags(cmd.Flags())
	return cmd
}

func newRestartCommand(env *command.Env) *cobra.Command {
	opts := rolloutOptions{action: controlpb.ControlRolloutRequest_ACTION_RESTART}
	cmd := newRolloutCommand(env, &opts, "restart [OPTIONS] SERVICE", "Replace the tasks of a service, following its update settings")
	opts.addFlags(cmd.Flags())
	return cmd
}

func newRolloutCommand(env *command.Env, opts *rolloutOptions, use, short string) *cobra.Command {
	return &cobra.Command{
		Use:   use,
		Short: short,
		Long:  short + ".\n\n" + command.ExitHelp,
		Args:  command.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.service = args[0]
			return runRollout(cmd.Context(), env, *opts)
		},
	}
}

func runRollout(ctx context.Context, env *command.Env, opts rolloutOptions) error {
	conn, err := env.Control()
	if err != nil {
		return err
	}
	services := controlpb.NewServiceServiceClient(conn)
	var goal progress.Goal
	if opts.action == controlpb.ControlRolloutRequest_ACTION_RESTART {
		// A restart begins a rollout of its own; the others are about the one
		// that is there.
		if goal.Before, err = getService(ctx, services, opts.service, 0); err != nil {
			return err
		}
	}
	response, err := services.ControlRollout(ctx, &controlpb.ControlRolloutRequest{Service: opts.service, Action: opts.action})
	if err != nil {
		return err
	}
	fmt.Fprintln(env.Out, opts.service)
	return opts.wait(ctx, env, response.GetService(), goal)
}
