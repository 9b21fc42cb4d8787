package supervise

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	firstRestart = 100 * time.Millisecond
	lastRestart  = 10 * time.Second
	// settled is how long a child must have lived for its next restart to be
	// the first in a row.
	settled = 10 * time.Second
	// replaceGrace is how long a child that is replaced gets to stop.
	replaceGrace = 5 * time.Second
)

// Config of a Child.
type Config struct {
	// Name of the child, for logs and its pid file.
	Name string
	// Command is the absolute path of the program and its arguments.
	Command []string
	// Env is added to the environment of the daemon.
	Env []string
	// RunDir is where the child's sockets are. A child that runs while this
	// directory was emptied cannot be reached: it is started anew. "" for a child
	// that goes on all the same.
	RunDir string
	// Sockets are the paths at which the child listens once it serves, in RunDir. A
	// child that served and lost one is started anew too.
	Sockets []string
	// FirstRestart is how long the child is down that ended for the first time in a
	// row; 100 ms when 0.
	FirstRestart time.Duration
	// Succeed, if set, has a child of another version, or with other options, run on
	// beside the one that replaces it until Succeed returns nil: the process with
	// that id then does all that the other one did. Until then the other one is
	// found by NAME.before.pid.
	Succeed func(ctx context.Context, pid int) error
	// StateDir holds NAME.pid, by which a child is found even then.
	StateDir string
	// LogFile takes what the child prints. Once it is larger than LogSize bytes
	// (10 MiB when 0) it is moved to LogFile.1, replacing the one before.
	LogFile string
	LogSize int64
	Log     *slog.Logger
}

// Child is a process that is kept running.
type Child struct {
	cfg Config

	mu       sync.Mutex
	pid      int
	stopping bool
}

// New returns a child that is not running yet, or not yet known to be.
func New(cfg Config) *Child {
	if cfg.LogSize == 0 {
		cfg.LogSize = 10 << 20
	}
	if cfg.FirstRestart == 0 {
		cfg.FirstRestart = firstRestart
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Log = cfg.Log.With("child", cfg.Name)
	return &Child{cfg: cfg}
}

// Pid returns the process id of the child, 0 while it does not run.
func (c *Child) Pid() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pid
}

// Run takes over the child that runs, or starts it, and starts it again
// whenever it ends, until ctx is done or Stop was called. The child keeps
// running when ctx is done.
func (c *Child) Run(ctx context.Context) error {
	if err := c.makeDirs(); err != nil {
		return err
	}
	rotating, stopRotating := context.WithCancel(ctx)
	var rotator sync.WaitGroup
	rotator.Go(func() { c.rotate(rotating) })
	defer rotator.Wait()
	defer stopRotating()

	pause := &backoff.ExponentialBackOff{
		InitialInterval: c.cfg.FirstRestart, MaxInterval: lastRestart, Multiplier: 2, RandomizationFactor: 0.2,
	}
	pause.Reset()
	for {
		began := time.Now()
		err := c.once(ctx)
		if ctx.Err() != nil || c.isStopping() {
			return nil
		}
		if time.Since(began) > settled {
			pause.Reset()
		}
		in := pause.NextBackOff()
		c.cfg.Log.WarnContext(ctx, "child ended, will start it again", "in", in, "err", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(in):
		}
	}
}

// once runs the child until it ends and says how, or until ctx is done.
func (c *Child) once(ctx context.Context) error {
	p, err := c.takeOver(ctx)
	if err != nil {
		return err
	}
	var cmd *exec.Cmd
	if p == nil {
		if cmd, err = c.start(); err != nil {
			return err
		}
		if p, err = open(cmd.Process.Pid); err != nil {
			// It has ended already.
			return errors.Join(err, cmd.Wait())
		}
		c.cfg.Log.InfoContext(ctx, "started child", "pid", p.pid)
	}
	defer p.close()
	c.setPid(p.pid)
	stop := c.retire(ctx, p.pid)
	err = c.attend(ctx, p)
	stop()
	if err != nil {
		if cmd != nil {
			_ = cmd.Process.Release()
		}
		return err
	}
	c.setPid(0)
	_ = os.Remove(c.pidFile())
	if cmd == nil {
		return errors.New("it was not our child: how it ended is unknown")
	}
	if err := cmd.Wait(); err != nil {
		return err
	}
	return errors.New("exit status 0")
}

// takeOver refers to the child that runs; nil when none does. One of another
// version, or with other options, is ended instead.
func (c *Child) takeOver(ctx context.Context) (*process, error) {
	p, runs, err := adopt(c.pidFile())
	if err != nil {
		return nil, nil //nolint:nilnil // there is none
	}
	if runs == c.runs() && c.reachable() {
		c.cfg.Log.InfoContext(ctx, "took over running child", "pid", p.pid)
		return p, nil
	}
	defer p.close()
	if c.cfg.Succeed != nil && runs != c.runs() && c.reachable() && c.keepBefore() {
		c.cfg.Log.InfoContext(ctx, "the child that runs is of another version or has other options: it runs on until another one is ready", "pid", p.pid)
		return nil, nil //nolint:nilnil // there is none that runs what it should
	}
	c.cfg.Log.InfoContext(ctx, "the child that runs is of another version, has other options or lost its run directory: it is started anew",
		"pid", p.pid)
	return nil, c.end(ctx, p, replaceGrace)
}

// runs stands for what the child runs: its program as it is now, and all that it
// is given.
func (c *Child) runs() string {
	h := sha256.New()
	for _, s := range slices.Concat(c.cfg.Command, c.cfg.Env) {
		fmt.Fprintf(h, "%q ", s)
	}
	if info, err := os.Stat(c.cfg.Command[0]); err == nil {
		fmt.Fprint(h, info.Size(), info.ModTime().UnixNano())
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// start begins a new process in a session of its own, so that no signal meant
// for the daemon's terminal or group reaches it.
func (c *Child) start() (*exec.Cmd, error) {
	if err := c.makeDirs(); err != nil {
		return nil, err
	}
	out, err := os.OpenFile(c.cfg.LogFile, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, fmt.Errorf("open log of child: %w", err)
	}
	defer func() { _ = out.Close() }()
	cmd := exec.Command(c.cfg.Command[0], c.cfg.Command[1:]...) //nolint:noctx // it outlives whoever starts it
	cmd.Env = append(os.Environ(), c.cfg.Env...)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start child: %w", err)
	}
	if err := errors.Join(writePidFile(c.pidFile(), cmd.Process.Pid, c.runs()), c.note("")); err != nil {
		// Nobody would find it again.
		_ = cmd.Process.Kill()
		return nil, errors.Join(err, cmd.Wait())
	}
	return cmd, nil
}

// Stop ends the child, also one that an earlier daemon started: SIGTERM, and
// SIGKILL after grace. It returns once the child is gone.
func (c *Child) Stop(ctx context.Context, grace time.Duration) error {
	c.mu.Lock()
	c.stopping = true
	c.mu.Unlock()
	before := c.endBefore(ctx, grace)
	p, _, err := adopt(c.pidFile())
	if err != nil {
		return before // none runs
	}
	defer p.close()
	return errors.Join(before, c.end(ctx, p, grace))
}

// end ends the child that the pid file names.
func (c *Child) end(ctx context.Context, p *process, grace time.Duration) error {
	if err := c.kill(ctx, p, grace); err != nil {
		return err
	}
	return c.gone()
}

// kill ends a process: SIGTERM, and SIGKILL after grace.
func (c *Child) kill(ctx context.Context, p *process, grace time.Duration) error {
	if err := p.signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop %s: %w", c.cfg.Name, err)
	}
	polite, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if p.wait(polite) == nil {
		return nil
	}
	c.cfg.Log.WarnContext(ctx, "child did not stop in time and is killed", "grace", grace)
	if err := p.signal(syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill %s: %w", c.cfg.Name, err)
	}
	if err := p.wait(ctx); err != nil {
		return fmt.Errorf("wait for the end of %s: %w", c.cfg.Name, err)
	}
	return nil
}

func (c *Child) gone() error {
	if c.cfg.RunDir != "" {
		_ = os.Remove(c.mark())
	}
	if err := os.Remove(c.pidFile()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove pid file: %w", err)
	}
	return nil
}

func (c *Child) pidFile() string { return filepath.Join(c.cfg.StateDir, c.cfg.Name+".pid") }

func (c *Child) setPid(pid int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pid = pid
}

func (c *Child) isStopping() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stopping
}
