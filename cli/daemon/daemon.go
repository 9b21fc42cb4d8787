package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"

	"github.com/muster/muster/dispatcher/mtls"
	"github.com/muster/muster/worker/images"
)

// Daemon is one node, in a cluster or not yet.
type Daemon struct {
	cfg     Config
	version string
	log     *slog.Logger
	runtime *runtime
	peers   *peers

	// changing is held while the node founds, joins or leaves a cluster.
	changing sync.Mutex
	member   atomic.Pointer[member] // nil while in no cluster
	// resumed is closed once the node is the member that it was. No command is
	// answered before: it would be told that the node is in no cluster.
	resumed chan struct{}
	// failed receives why a member ended that nobody stopped.
	failed chan error
}

// Run runs the daemon until ctx is done or something it cannot do without
// fails. Containers keep running.
func Run(ctx context.Context, cfg Config, version string) (err error) {
	state, err := hold("state", cfg.StateDir, 0o700)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	// Sockets and pid files say nothing of the state folder they belong to.
	run, err := hold("run", cfg.RunDir, 0o711)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, run.Close()) }()
	log := cfg.Logger().With("node", cfg.Name)
	d := &Daemon{cfg: cfg, version: version, log: log, peers: &peers{}, resumed: make(chan struct{}), failed: make(chan error, 1)}
	log.InfoContext(ctx, "muster starts", "version", version, "state", cfg.StateDir, "pid", os.Getpid())
	if d.runtime, err = newRuntime(cfg, images.PeerClient{Dial: d.peers.node}, log); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.runtime.run(ctx) })
	g.Go(func() error { return d.serveLocal(ctx) })
	g.Go(func() error { return d.live(ctx) })
	err = g.Wait()
	log.Info("muster stops", "err", err)
	return err
}

// live resumes the membership found on disk, and keeps whatever membership
// there is until ctx is done.
func (d *Daemon) live(ctx context.Context) error {
	if err := d.resume(ctx); err != nil {
		return err
	}
	close(d.resumed)
	var err error
	select {
	case <-ctx.Done():
	case err = <-d.failed:
	}
	d.changing.Lock() // so that no new membership begins
	defer d.changing.Unlock()
	if m := d.member.Swap(nil); m != nil {
		err = errors.Join(err, m.stop())
	}
	return err
}

// resume makes the node the member that it was.
func (d *Daemon) resume(ctx context.Context) error {
	d.changing.Lock()
	defer d.changing.Unlock()
	credentials, err := mtls.Load(d.cfg.identityDir())
	if errdefs.IsNotFound(err) {
		if err := d.mustHaveLostNothing(); err != nil {
			return err
		}
		// What a founding or joining that broke off has left is of no use.
		return d.wipe()
	}
	if err != nil {
		return err
	}
	s, err := loadSettings(d.cfg.StateDir)
	if err != nil {
		return err
	}
	m, err := d.startMember(ctx, s, credentials, nil)
	if err != nil {
		return err
	}
	d.member.Store(m)
	return nil
}

// mustHaveLostNothing refuses to wipe the state of a manager whose identity
// alone is gone: it may be the only copy.
func (d *Daemon) mustHaveLostNothing() error {
	for _, path := range []string{filepath.Join(d.cfg.StateDir, settingsFile), d.raftDir()} {
		if _, err := os.Stat(path); err != nil {
			return nil //nolint:nilerr // no manager was here
		}
	}
	return fmt.Errorf("%s is missing, but %s holds the state of a manager: restore it, or remove %s to begin anew without that state: %w",
		d.cfg.identityDir(), d.raftDir(), filepath.Join(d.cfg.StateDir, settingsFile), errdefs.ErrDataLoss)
}

// become makes the node a member with new credentials. The credentials are
// saved last: a node without them is none. On an error nothing is left.
func (d *Daemon) become(ctx context.Context, s settings, credentials *mtls.Credentials, f *founding) (err error) {
	if err := d.wipe(); err != nil {
		return err
	}
	var m *member
	defer func() {
		if err == nil {
			return
		}
		if m != nil {
			err = errors.Join(err, m.stop())
		}
		err = errors.Join(err, d.wipe())
	}()
	// The member outlives the request that begins it.
	if m, err = d.startMember(context.WithoutCancel(ctx), s, credentials, f); err != nil {
		return err
	}
	if err := s.save(d.cfg.StateDir); err != nil {
		return err
	}
	if err := credentials.Save(d.cfg.identityDir()); err != nil {
		return err
	}
	d.member.Store(m)
	m.awaitSession(ctx)
	return nil
}

// wipe removes all that a node has as a member. The credentials go first.
func (d *Daemon) wipe() error {
	return errors.Join(
		mtls.Remove(d.cfg.identityDir()),
		removeSettings(d.cfg.StateDir),
		os.RemoveAll(d.raftDir()),
		os.RemoveAll(d.workerDir()),
	)
}
