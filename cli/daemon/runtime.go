package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/containerd/containerd/v2/client"

	"github.com/muster/muster/worker/executor/containerd"
	"github.com/muster/muster/worker/images"
	"github.com/muster/muster/worker/supervise"
	"github.com/muster/muster/worker/tasklog"
)

// LoggerCommand is the hidden command under which muster runs its logger.
const LoggerCommand = "logger"

// childGrace is how long the logger gets to stop.
const childGrace = 5 * time.Second

// runtime is what the node needs to run containers: containerd and the image
// store, in a cluster or not, and the logger while it is in one.
type runtime struct {
	cfg  Config
	log  *slog.Logger
	sock *socket
	// managed is nil when containerd is not ours.
	managed *containerd.Managed
	address string // of containerd's socket
	client  *client.Client
	images  *images.Store
}

func newRuntime(cfg Config, sock *socket, peers images.Fetcher, log *slog.Logger) (*runtime, error) {
	r := &runtime{cfg: cfg, log: log, sock: sock}
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
	r.address = address
	var err error
	if r.client, err = containerd.Connect(address, containerd.Namespace); err != nil {
		return nil, err
	}
	r.images = images.New(images.Config{
		Client: r.client, Namespace: containerd.Namespace, CertsDir: cfg.HostsDir, Fetcher: peers, Log: log.With("part", "images"),
	})
	return r, nil
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
		// It has no RunDir: it follows a new directory of pipes by itself, and nobody
		// else could read those whose names are gone.
		StateDir: cfg.StateDir,
		LogFile:  filepath.Join(cfg.StateDir, "logger.log"),
		Log:      log,
	}), nil
}

// run keeps our containerd running until ctx is done. It is stopped then, so
// that the next daemon starts the one it comes with; its containers belong to
// their shims.
func (r *runtime) run(ctx context.Context) error {
	if r.managed == nil {
		<-ctx.Done()
		return r.client.Close()
	}
	err := r.managed.Run(ctx)
	return errors.Join(err, r.managed.Stop(context.WithoutCancel(ctx)), r.client.Close())
}

// runLogger keeps the logger running until ctx is done. It stays as long as
// containers may print.
func (r *runtime) runLogger(ctx context.Context) error {
	logger, err := newLogger(r.cfg, r.log)
	if err != nil {
		return err
	}
	return errors.Join(logger.Run(ctx), r.stopIdleLogger(context.WithoutCancel(ctx)))
}

// stopIdleLogger stops a logger that no container prints to any more. The pipe of
// one that has a cgroup may have lost its name.
func (r *runtime) stopIdleLogger(ctx context.Context) error {
	tasks, err := tasklog.PipeTasks(r.cfg.RunDir)
	if err != nil || len(tasks) > 0 {
		return err
	}
	if tasks, err = containerd.TasksWithCgroup(r.cfg.CgroupParent); err != nil || len(tasks) > 0 {
		return err
	}
	logger, err := newLogger(r.cfg, r.log)
	if err != nil {
		return err
	}
	return logger.Stop(ctx, childGrace)
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
