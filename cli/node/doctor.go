package node

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/render"
	nodepb "github.com/muster/muster/proto/node/v1"
)

func newDoctorCommand(env *command.Env) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "doctor [OPTIONS]",
		Short: "Find out what is wrong with this node and its network",
		Long: "Compare the network state in this node's kernel with the desired state and list the differences that are " +
			"still there a second later; the daemon repairs them by itself, so one that stays is a fault. Then ask other nodes and their tasks for an answer, through " +
			"the tunnel and with packets of full size, and look for firewall rules of others that drop what muster forwards. " +
			"The exit status is 1 if anything is wrong.",
		Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDoctor(cmd.Context(), env, format)
		},
	}
	cmd.Flags().StringVarP(&format, "format", "f", "", `output format: json or a Go template`)
	return cmd
}

// diagnosis is what "node doctor" shows to programs.
type diagnosis struct {
	Differences, Findings []string
	AppliedIndex, Repairs uint64
}

func runDoctor(ctx context.Context, env *command.Env, format string) error {
	local, err := env.Local()
	if err != nil {
		return err
	}
	r, err := local.Diagnose(ctx, &nodepb.DiagnoseRequest{})
	if err != nil {
		return fmt.Errorf("diagnose this node: %w", err)
	}
	if err := showDiagnosis(env, r, format); err != nil {
		return err
	}
	if n, m := len(r.GetDifferences()), len(r.GetFindings()); n+m > 0 {
		return fmt.Errorf("%d differences from what should be, %d other findings", n, m)
	}
	return nil
}

func showDiagnosis(env *command.Env, r *nodepb.DiagnoseResponse, format string) error {
	lines := slices.Concat(r.GetDifferences(), r.GetFindings())
	if format != "" {
		return render.Inspect(env.Out, format, []any{diagnosis{
			Differences: append([]string{}, r.GetDifferences()...), Findings: append([]string{}, r.GetFindings()...), // none is [] in JSON
			AppliedIndex: r.GetAppliedIndex(), Repairs: r.GetRepairs(),
		}})
	}
	for _, line := range lines {
		fmt.Fprintln(env.Out, line)
	}
	fmt.Fprintf(env.Out, "applied index %d, repairs so far %d\n", r.GetAppliedIndex(), r.GetRepairs())
	if len(lines) == 0 {
		fmt.Fprintln(env.Out, "Everything is as it should be.")
	}
	return nil
}
