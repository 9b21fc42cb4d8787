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
		Short: "Find out what is wrong with this node and its network",
		Long: "Compare the network state in this node's kernel with the desired state and list the differences; the daemon " +
			"repairs them by itself, so one that stays is a fault. Then ask other nodes and their tasks for an answer, through " +
			"the tunnel and with packets of full size, and look for firewall rules of others that drop what muster forwards. " +
			"The exit status is 1 if anything is wrong.",
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
	for _, f := range r.GetFindings() {
		fmt.Fprintln(env.Out, f)
	}
	fmt.Fprintf(env.Out, "applied index %d, repairs so far %d\n", r.GetAppliedIndex(), r.GetRepairs())
	if n, m := len(r.GetDifferences()), len(r.GetFindings()); n+m > 0 {
		return fmt.Errorf("%d differences from what should be, %d other findings", n, m)
	}
	fmt.Fprintln(env.Out, "Everything is as it should be.")
	return nil
}
