package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/render"
	"github.com/muster/muster/proto/docker"
	nodepb "github.com/muster/muster/proto/node/v1"
)

func newInfoCommand(env *command.Env) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "info [OPTIONS]",
		Short: "Show the state of this node's daemon",
		Args:  command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runInfo(cmd.Context(), env, format)
		},
	}
	cmd.Flags().StringVarP(&format, "format", "f", "", `output format: json or a Go template`)
	return cmd
}

// info is what "info" shows: Docker's fields, and own ones beside them.
type info struct {
	ServerVersion string
	Swarm         docker.Swarm

	State             string
	Error             string `json:",omitempty"`
	NodeID            string
	ClusterID         string
	Role              string
	NodeAddr          string
	Managers          []string
	Version           string
	ContainerdVersion string
	ContainerdPID     int32 `json:",omitempty"`
}

func runInfo(ctx context.Context, env *command.Env, format string) error {
	local, err := env.Local()
	if err != nil {
		return err
	}
	s, err := local.GetStatus(ctx, &nodepb.GetStatusRequest{})
	if err != nil {
		return err
	}
	i := info{
		ServerVersion: s.GetVersion(), Swarm: docker.SwarmOf(s),
		State:  word(s.GetState().String(), "STATE_"),
		Error:  s.GetErr(),
		NodeID: s.GetNodeId(), ClusterID: s.GetClusterId(), Role: word(s.GetRole().String(), "NODE_ROLE_"),
		NodeAddr: s.GetNodeAddr(), Managers: s.GetManagers(),
		Version: s.GetVersion(), ContainerdVersion: s.GetContainerdVersion(), ContainerdPID: s.GetContainerdPid(),
	}
	if format != "" {
		return render.Inspect(env.Out, format, []any{i})
	}
	i.write(env.Out)
	return nil
}

// write shows i in the words and the layout of "docker info", which scripts
// search for lines such as "Swarm: active".
func (i info) write(w io.Writer) {
	line := func(key string, value any) {
		if text := fmt.Sprint(value); text != "" && text != "0" {
			fmt.Fprintf(w, "%s: %s\n", key, command.Printable(text))
		}
	}
	line("Swarm", i.State)
	line(" Error", i.Error)
	if i.NodeID != "" {
		line(" NodeID", i.NodeID)
		line(" Is Manager", i.Swarm.ControlAvailable)
		line(" ClusterID", i.ClusterID)
		line(" Node Address", i.NodeAddr)
	}
	if len(i.Managers) > 0 {
		fmt.Fprintf(w, " Manager Addresses:\n  %s\n", strings.Join(i.Managers, "\n  "))
	}
	line("Server Version", i.Version)
	line("containerd version", i.ContainerdVersion)
	line("containerd PID", i.ContainerdPID)
}

// word is the name of an enum value as people write it.
func word(s, prefix string) string {
	if s = strings.TrimPrefix(s, prefix); s == "UNSPECIFIED" {
		return ""
	}
	return strings.ToLower(s)
}
