package cli

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cli/command"
	nodepb "github.com/muster/muster/proto/node/v1"
)

func newVersionCommand(env *command.Env) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show the versions of this program and of the daemon",
		Args:  command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			fmt.Fprintf(env.Out, "Client: %s (%s, %s/%s)\n", env.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			local, err := env.Local()
			if err != nil {
				return err
			}
			status, err := local.GetStatus(cmd.Context(), &nodepb.GetStatusRequest{})
			if err != nil {
				return err
			}
			fmt.Fprintf(env.Out, "Daemon: %s\ncontainerd: %s\n", status.GetVersion(), status.GetContainerdVersion())
			return nil
		},
	}
}
