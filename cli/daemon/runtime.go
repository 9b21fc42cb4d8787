package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"

	"github.com/muster/muster/worker/executor"
	"github.com/muster/muster/worker/executor/containerd"
	"github.com/muster/muster/worker/images"
	"github.com/muster/muster/worker/logs"
	"github.com/muster/muster/worker/supervise"
)

// LoggerCommand is the hidden command under which muster runs its logger.
const LoggerCommand = "logger"

// childGrace is how long the logger gets to stop.
const childGrace = 5 * time.Second

// runtime is what the node needs to run containers, in a cluster or not:
// containerd, the logger and the image store.
type runtime struct {
	cfg Config
	log *slog.Logger
	// managed is nil when containerd is not ours.
	managed *containerd.Managed
	logger  *supervise.Child
	client  *client.Client
	images  *images.Store
}

func newRuntime(cfg Config, peers images.Fetcher, log *slog.Logger) (*runtime, error) {
	r := &runtime{cfg: cfg, log: log}
	address := cfg.Containerd
	if address == "" {
		dir, err := binDir(cfg)
		if err != nil {
			return nil, err
		}
		r.managed, err = containerd.NewManaged(containerd.ManagedConfig{
			BinDir:   dir,
			StateDir: filepath.Join(cfg.StateDir, "containerd"),
			RunDir:   filepath.Join(cfg.RunDir, "containerd"),
			Log:      log,
		})
		if err != nil {
			return nil, err
		}
		address = r.managed.Address()
	} else if _, err := os.Stat(address); err != nil {
		return nil, fmt.Errorf("--containerd: %w: is that containerd running?", err)
	}
	var err error
	if r.client, err = containerd.Connect(address, containerd.Namespace); err != nil {
		return nil, err
	}
	r.images = images.New(images.Config{
		Client: r.client, Namespace: containerd.Namespace, CertsDir: cfg.HostsDir, Fetcher: peers, Log: log.With("part", "images"),
	})
	r.logger, err = newLogger(cfg, log)
	return r, err
}

// newLogger makes the child that writes the logs of all tasks: this program
// under another name, so that there is one binary.
func newLogger(cfg Config, log *slog.Logger) (*supervise.Child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	return supervise.New(supervise.Config{
		Name: "logger",
		Command: []string{
			self, LoggerCommand, "--state-dir", cfg.StateDir, "--run-dir", cfg.RunDir,
			"--task-log-max-size", strconv.FormatUint(cfg.LogMaxSize, 10),
			"--task-log-max-files", strconv.FormatUint(uint64(cfg.LogMaxFiles), 10),
		},
		RunDir:  cfg.RunDir,
		LogFile: filepath.Join(cfg.StateDir, "logger.log"),
		Log:     log,
	}), nil
}

// binDir finds the folder with containerd.
func binDir(cfg Config) (string, error) {
	if cfg.BinDir != "" {
		return filepath.Abs(cfg.BinDir)
	}
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find this program: %w", err)
	}
	beside := filepath.Dir(self)
	for _, dir := range []string{beside, filepath.Join(beside, "..", "lib", "muster")} {
		if _, err := os.Stat(filepath.Join(dir, "containerd")); err == nil {
			return filepath.Clean(dir), nil
		}
	}
	path, err := exec.LookPath("containerd")
	if err != nil {
		return "", fmt.Errorf("containerd is neither beside %s nor in %s nor in PATH: run \"make build\", name its folder with --bin-dir, or a running one with --containerd: %w",
			self, filepath.Join(beside, "..", "lib", "muster"), errdefs.ErrNotFound)
	}
	return filepath.Dir(path), nil
}

// run keeps the children running until ctx is done. Our containerd is stopped
// then, so that the next daemon starts the one it comes with; its containers
// belong to their shims. The logger stays as long as containers may print.
func (r *runtime) run(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.logger.Run(gctx) })
	if r.managed != nil {
		g.Go(func() error { return r.managed.Run(gctx) })
	}
	err := g.Wait()
	stop := context.WithoutCancel(ctx) // each stop has its own bound
	if r.managed != nil {
		err = errors.Join(err, r.managed.Stop(stop))
	}
	tasks, listErr := logs.PipeTasks(r.cfg.RunDir)
	if listErr == nil && len(tasks) == 0 {
		listErr = r.logger.Stop(stop, childGrace)
	}
	return errors.Join(err, listErr, r.client.Close())
}

// executor returns an executor of tasks. network may be nil for one that only
// removes.
func (r *runtime) executor(node string, network executor.Network, sources func(string) []images.Source) (*containerd.Executor, error) {
	return containerd.New(containerd.Config{
		Client:       r.client,
		StateDir:     r.cfg.StateDir,
		RunDir:       r.cfg.RunDir,
		CgroupParent: r.cfg.CgroupParent,
		NodeName:     node,
		Network:      network,
		Images:       r.images,
		Sources:      sources,
		Log:          r.log.With("part", "executor"),
	})
}

// version of containerd, or empty when it does not answer at once.
func (r *runtime) version(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	v, err := r.client.Version(ctx)
	if err != nil {
		return ""
	}
	return v.Version
}

// pid of our containerd; 0 when it is not ours or does not run.
func (r *runtime) pid() int {
	if r.managed == nil {
		return 0
	}
	return r.managed.Pid()
}
