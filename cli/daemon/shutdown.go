package daemon

import (
	"bytes"
	"context"
	"log/slog"
	"os/exec"
	"time"

	"github.com/muster/muster/cli/daemon/node"
)

const (
	// evacuationLimit bounds how long a shutdown of the machine waits for this
	// node's tasks. TimeoutStopSec of muster.service is longer.
	evacuationLimit = 60 * time.Second
	// systemdTimeout bounds asking systemd.
	systemdTimeout = 2 * time.Second
)

// untilStop returns a context that ends after ctx: on a machine that shuts down
// once the tasks have left it.
func untilStop(ctx context.Context, n *node.Node, log *slog.Logger) (_ context.Context, stop func()) {
	running, end := context.WithCancel(context.WithoutCancel(ctx))
	watch := context.AfterFunc(ctx, func() {
		defer end()
		if !machineStops(running) {
			return
		}
		log.InfoContext(running, "the machine shuts down: tasks move to other nodes", "limit", evacuationLimit)
		limit, cancel := context.WithTimeout(running, evacuationLimit)
		defer cancel()
		if err := n.Evacuate(limit); err != nil {
			log.WarnContext(running, "the machine shuts down with tasks on it", "err", err)
		}
	})
	return running, func() { watch(); end() }
}

// machineStops asks systemd whether the machine shuts down. Without systemd,
// nothing tells that from a restart of the daemon.
func machineStops(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, systemdTimeout)
	defer cancel()
	// It exits with a status of its own for each state (systemctl(1)).
	out, _ := exec.CommandContext(ctx, "systemctl", "is-system-running").Output()
	return string(bytes.TrimSpace(out)) == "stopping"
}
