package node

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cli/command"
	nodepb "github.com/muster/muster/proto/node/v1"
)

func newDoctorCommand(env *command.Env) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Compare this node's kernel with its desired state",
		Long: "Compare the network state in this node's kernel with the desired state and list the differences. " +
			"The daemon repairs them by itself, so one that stays is a fault. The exit status is 1 if there are any.",
		Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDoctor(cmd.Context(), env)
		},
	}
}

func runDoctor(ctx context.Context, env *command.Env) error {
	local, err := env.Local()
	if err != nil {
		return err
	}
	r, err := local.Diagnose(ctx, &nodepb.DiagnoseRequest{})
	if err != nil {
		return fmt.Errorf("diagnose this node: %w", err)
	}
	for _, d := range r.GetDifferences() {
		fmt.Fprintln(env.Out, d)
	}
	fmt.Fprintf(env.Out, "applied index %d, repairs so far %d\n", r.GetAppliedIndex(), r.GetRepairs())
	if n := len(r.GetDifferences()); n > 0 {
		return fmt.Errorf("%d differences from what should be", n)
	}
	fmt.Fprintln(env.Out, "Everything is as it should be.")
	return nil
}
