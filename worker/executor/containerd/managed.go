package containerd

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/defaults"

	"github.com/muster/muster/worker/supervise"
)

// stopGrace is how long containerd may take to stop. It has nothing to wait
// for: containers belong to their shims.
const stopGrace = 5 * time.Second

// ManagedConfig says where a containerd of our own lives.
type ManagedConfig struct {
	// BinDir holds containerd, containerd-shim-runc-v2 and runc.
	BinDir string
	// StateDir keeps images and snapshots; RunDir the socket and what does not
	// survive a restart of the machine.
	StateDir string
	RunDir   string
	Log      *slog.Logger
}

// Managed is a containerd that muster configures and keeps running. It
// outlives the daemon; the next daemon takes it over.
type Managed struct {
	cfg   ManagedConfig
	child *supervise.Child
}

// NewManaged writes the configuration of a containerd of our own. Nothing runs
// until Run.
func NewManaged(cfg ManagedConfig) (*Managed, error) {
	program := filepath.Join(cfg.BinDir, "containerd")
	if _, err := os.Stat(program); err != nil {
		return nil, fmt.Errorf("find containerd (make build builds it): %w", err)
	}
	for _, dir := range []string{cfg.StateDir, cfg.RunDir} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return nil, fmt.Errorf("make directory of containerd: %w", err)
		}
	}
	m := &Managed{cfg: cfg}
	config := filepath.Join(cfg.StateDir, "containerd.toml")
	if err := os.WriteFile(config, []byte(m.config()), 0o644); err != nil {
		return nil, fmt.Errorf("write configuration of containerd: %w", err)
	}
	m.child = supervise.New(supervise.Config{
		Name:    "containerd",
		Command: []string{program, "--config", config},
		// The shim is found beside containerd, and runc by the shim, before
		// whatever else the machine has.
		// Collecting twice as often costs an idle containerd nothing and saves
		// it a fifth of its memory.
		Env:    []string{"PATH=" + cfg.BinDir + ":" + os.Getenv("PATH"), "GOGC=50"},
		RunDir: cfg.RunDir, StateDir: cfg.StateDir, Sockets: []string{m.Address(), m.ttrpcAddress()},
		LogFile: filepath.Join(cfg.StateDir, "containerd.log"),
		Log:     cfg.Log,
	})
	return m, nil
}

// Address is the path of containerd's socket.
func (m *Managed) Address() string { return filepath.Join(m.cfg.RunDir, "containerd.sock") }

// ttrpcAddress is the path of the socket at which shims tell of their tasks.
func (m *Managed) ttrpcAddress() string { return m.Address() + ".ttrpc" }

// Pid is containerd's process, 0 while it does not run.
func (m *Managed) Pid() int { return m.child.Pid() }

// Run keeps containerd running until ctx is done; it then runs on by itself.
func (m *Managed) Run(ctx context.Context) error { return m.child.Run(ctx) }

// Stop ends containerd. Containers run on under their shims.
func (m *Managed) Stop(ctx context.Context) error { return m.child.Stop(ctx, stopGrace) }

// Ready waits until containerd serves, at most timeout.
func Ready(ctx context.Context, c *client.Client, timeout time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout,
		fmt.Errorf("containerd is not ready after %v: see its log", timeout))
	defer cancel()
	for {
		if ok, err := c.IsServing(ctx); ok && err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// config is lean: no CRI, no plugins for what muster does not use, and garbage
// is collected soon after images are removed.
func (m *Managed) config() string {
	return fmt.Sprintf(`# Written by muster at every start: changes are lost.
version = 4
root = %q
state = %q
oom_score = -999
imports = []
disabled_plugins = [
  "io.containerd.cri.v1.images",
  "io.containerd.cri.v1.runtime",
  "io.containerd.grpc.v1.cri",
  "io.containerd.differ.v1.erofs",
  "io.containerd.image-verifier.v1.bindir",
  "io.containerd.internal.v1.opt",
  "io.containerd.internal.v1.tracing",
  "io.containerd.monitor.container.v1.restart",
  "io.containerd.mount-handler.v1.erofs",
  "io.containerd.nri.v1.nri",
  "io.containerd.snapshotter.v1.blockfile",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.erofs",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp",
]

[debug]
level = "warn"

[plugins."io.containerd.server.v1.grpc"]
address = %q

[plugins."io.containerd.server.v1.ttrpc"]
address = %q

[plugins."io.containerd.gc.v1.scheduler"]
startup_delay = "10s"
schedule_delay = "1s"

[plugins."io.containerd.monitor.task.v1.cgroups"]
no_prometheus = true
%s`, filepath.Join(m.cfg.StateDir, "root"), filepath.Join(m.cfg.RunDir, "state"),
		m.Address(), m.ttrpcAddress(), m.shimConfig())
}

// maxSocketDir is the longest directory, in bytes, that containerd takes for the
// sockets of shims.
const maxSocketDir = 42

// shimSockets keeps the sockets of shims with our own, where a path so short
// allows it.
func (m *Managed) shimSockets() string {
	dir := filepath.Join(m.cfg.RunDir, "s")
	if !filepath.IsAbs(dir) || len(dir) > maxSocketDir {
		return filepath.Join(defaults.DefaultStateDir, "s")
	}
	return dir
}

// ShimSocket is where the shim of a task of this containerd, in Namespace,
// listens: containerd names it by a digest.
func (m *Managed) ShimSocket(taskID string) string {
	key := sha256.Sum256([]byte(filepath.Join(m.Address(), Namespace, taskID)))
	return filepath.Join(m.shimSockets(), hex.EncodeToString(key[:]))
}

func (m *Managed) shimConfig() string {
	dir := m.shimSockets()
	return fmt.Sprintf("\n[plugins.\"io.containerd.shim.v1.manager\"]\nsocket_dir = %q\n", dir)
}
