package daemon

import (
	"fmt"
	"os"

	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"

	"github.com/muster/muster/worker/tasklog"
)

// NewCommand returns the daemon command.
func NewCommand(version string) *cobra.Command {
	var cfg Config
	cmd := &cobra.Command{
		Use:   "daemon [OPTIONS]",
		Short: "Run this machine as a node",
		Long: `Run this machine as a node: containerd and, once it is part of a cluster, the worker, the data plane and, if its role says so, the manager.

Every option can also be set in the environment (MUSTER_STATE_DIR for --state-dir) or in the configuration file (state-dir: DIR). Options take precedence over the environment, and the environment over the file.

SIGTERM stops the daemon. Containers keep running, and the next daemon takes them over.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// The client's --host flag does not concern the daemon.
			if err := Fill(cmd.LocalNonPersistentFlags(), os.Getenv); err != nil {
				return err
			}
			if err := cfg.Complete(); err != nil {
				return err
			}
			if os.Geteuid() != 0 {
				return fmt.Errorf("the daemon needs root: it makes namespaces, mounts and network devices: %w", errdefs.ErrPermissionDenied)
			}
			return Run(cmd.Context(), cfg, version)
		},
	}
	cfg.AddFlags(cmd.Flags())
	AddFileFlag(cmd.Flags())
	return cmd
}

// NewLoggerCommand returns the command that writes the logs of all tasks. The
// daemon runs it; it outlives the daemon.
func NewLoggerCommand() *cobra.Command {
	var cfg Config
	cmd := &cobra.Command{
		Use:    LoggerCommand,
		Short:  "Write the logs of this node's tasks (run by the daemon)",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cfg.Complete(); err != nil {
				return err
			}
			return tasklog.RunLogger(cmd.Context(), tasklog.Config{
				RunDir: cfg.RunDir, StateDir: cfg.StateDir,
				MaxSize: int64(cfg.LogMaxSize), MaxFiles: int(cfg.LogMaxFiles),
				Log: cfg.Logger(),
			})
		},
	}
	cfg.AddFlags(cmd.Flags())
	return cmd
}
