package cli

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/render"
	nodepb "github.com/muster/muster/proto/node/v1"
)

func newVersionCommand(env *command.Env) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "version [OPTIONS]",
		Short: "Show the versions of this program and of the daemon",
		Args:  command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runVersion(cmd.Context(), env, format)
		},
	}
	cmd.Flags().StringVarP(&format, "format", "f", "", `output format: json or a Go template`)
	return cmd
}

// versions is what "version" shows, under Docker's names.
type versions struct {
	Client clientVersion
	Server *serverVersion // nil when the daemon does not answer
}

type clientVersion struct{ Version, GoVersion, Os, Arch string }

type serverVersion struct{ Version, ContainerdVersion string }

// runVersion shows what is known although the daemon may not answer.
func runVersion(ctx context.Context, env *command.Env, format string) error {
	v := versions{Client: clientVersion{env.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH}}
	var errDaemon error
	if v.Server, errDaemon = askVersion(ctx, env); format != "" {
		return errors.Join(render.Inspect(env.Out, format, []any{v}), errDaemon)
	}
	fmt.Fprintf(env.Out, "Client: %s (%s, %s/%s)\n", v.Client.Version, v.Client.GoVersion, v.Client.Os, v.Client.Arch)
	if v.Server != nil {
		fmt.Fprintf(env.Out, "Daemon: %s\ncontainerd: %s\n", v.Server.Version, v.Server.ContainerdVersion)
	}
	return errDaemon
}

func askVersion(ctx context.Context, env *command.Env) (*serverVersion, error) {
	local, err := env.Local()
	if err != nil {
		return nil, err
	}
	s, err := local.GetStatus(ctx, &nodepb.GetStatusRequest{})
	if err != nil {
		return nil, err
	}
	return &serverVersion{s.GetVersion(), s.GetContainerdVersion()}, nil
}
