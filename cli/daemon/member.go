package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/muster/muster/dispatcher/listen"
	"github.com/muster/muster/dispatcher/mtls"
	"github.com/muster/muster/ingress"
	"github.com/muster/muster/manager"
	"github.com/muster/muster/manager/resolver"
	capb "github.com/muster/muster/proto/ca/v1"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	memberpb "github.com/muster/muster/proto/member/v1"
	"github.com/muster/muster/raftstore"
	"github.com/muster/muster/raftstore/transport"
	"github.com/muster/muster/worker"
	"github.com/muster/muster/worker/describe"
	"github.com/muster/muster/worker/state"
	"github.com/muster/muster/worker/tasklog"
)

// leadTimeout bounds how long the first manager waits for its own election.
const leadTimeout = 30 * time.Second

// member is this node as a member of a cluster: everything that runs only then.
type member struct {
	daemon   *Daemon
	log      *slog.Logger
	settings settings
	holder   *mtls.Holder
	peers    *peers

	store   *raftstore.Store // nil on workers
	manager *manager.Manager // nil on workers
	worker  *worker.Worker
	plane   *ingress.Plane
	gossip  *gossiper

	listener *listen.Listener

	index  atomic.Uint64 // what the kernel holds
	cancel context.CancelFunc
	ended  chan error
}

func (d *Daemon) raftDir() string   { return filepath.Join(d.cfg.StateDir, "raft") }
func (d *Daemon) workerDir() string { return filepath.Join(d.cfg.StateDir, "worker") }
func (d *Daemon) netnsDir() string  { return filepath.Join(d.cfg.RunDir, "netns") }

// startMember makes this node run as a member, in a new cluster if f is
// given. It returns once the node takes part: a manager that founds leads, one
// that joins has been asked to vote. ctx ends nothing; stop does.
func (d *Daemon) startMember(ctx context.Context, s settings, credentials *mtls.Credentials, f *founding) (*member, error) {
	m := &member{daemon: d, log: d.log, settings: s, holder: &mtls.Holder{}, ended: make(chan error, 1)}
	m.holder.Set(credentials)
	m.peers = d.peers
	m.peers.use(m.holder.Current)
	if err := m.holder.Current().Check(time.Now()); err != nil {
		return nil, err
	}
	port, err := net.Listen("tcp", s.Listen.String())
	if err != nil {
		return nil, explainListen(s, err)
	}
	m.listener = listen.New(port, m.tls(), m.log.With("part", "port"))
	run, err := m.assemble(ctx)
	if err != nil {
		return nil, errors.Join(err, port.Close())
	}
	runCtx, cancel := context.WithCancel(context.Background())
	m.cancel = cancel
	go func() {
		err := run(runCtx)
		m.ended <- err
		if runCtx.Err() == nil { // nobody asked for it
			d.failed <- fmt.Errorf("this node can no longer be a member: %w", err)
		}
	}()
	if err := m.enter(ctx, f); err != nil {
		return nil, errors.Join(err, m.stop())
	}
	return m, nil
}

// enter makes the member take part.
func (m *member) enter(ctx context.Context, f *founding) error {
	switch {
	case m.store == nil:
		return nil
	case f != nil:
		return m.found(ctx, f)
	case len(m.store.Members()) == 0:
		return m.askToVote(ctx)
	}
	return nil
}

// found puts the new cluster into the empty store.
func (m *member) found(ctx context.Context, f *founding) error {
	ctx, cancel := context.WithTimeoutCause(ctx, leadTimeout, fmt.Errorf("the new cluster has no leader after %s: %w", leadTimeout, errdefs.ErrUnavailable))
	defer cancel()
	if err := m.store.Bootstrap(ctx); err != nil {
		return err
	}
	if err := m.store.AwaitLeadership(ctx); err != nil {
		return err
	}
	return m.store.Propose(ctx, f.changes()...)
}

// assemble makes the parts and returns what runs them all.
func (m *member) assemble(ctx context.Context) (run func(context.Context) error, err error) {
	m.plane = ingress.New(ingress.Config{
		Applied: func(index uint64) {
			m.index.Store(index)
			m.worker.Applied(index)
		},
		Log: m.log.With("part", "ingress"),
	})
	m.gossip = newGossiper(m)
	if m.isManager() {
		if err := m.assembleManager(ctx); err != nil {
			return nil, err
		}
	}
	db, err := m.assembleWorker()
	if err != nil {
		return nil, errors.Join(err, m.closeStore())
	}
	return func(ctx context.Context) error {
		err := m.run(ctx)
		return errors.Join(err, db.Close())
	}, nil
}

// assembleWorker makes the agent, and opens its memory.
func (m *member) assembleWorker() (*state.DB, error) {
	if err := os.MkdirAll(m.daemon.workerDir(), 0o700); err != nil {
		return nil, fmt.Errorf("make folder of the worker: %w", err)
	}
	db, err := state.Open(filepath.Join(m.daemon.workerDir(), "tasks.db"))
	if err != nil {
		return nil, err
	}
	if m.worker, err = m.newWorker(db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// closeStore closes a store that was never run.
func (m *member) closeStore() error {
	if m.store == nil {
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return m.store.Run(ctx)
}

// assembleManager makes the control plane of a node that votes.
func (m *member) assembleManager(ctx context.Context) error {
	cfg := m.daemon.cfg
	layer := transport.New(m.listener.For(listen.ProtocolRaft), m.settings.Advertise.String(),
		func(ctx context.Context, addr string) (net.Conn, error) {
			return listen.DialRaft(ctx, addr, m.holder.Current)
		})
	var err error
	m.store, err = raftstore.Open(ctx, raftstore.Config{
		ID: m.identity().NodeID, Dir: m.daemon.raftDir(), Stream: layer, Log: m.log.With("part", "raft"),
	})
	if err != nil {
		return err
	}
	m.manager, err = manager.New(manager.Config{
		Store:  m.store,
		Dial:   func(addr string) (*grpc.ClientConn, error) { return dialRaw(addr, m.holder.Current, mtls.AnyManager()) },
		Images: &resolver.Resolver{HostsDir: cfg.HostsDir},
		Gossip: m.gossip.view,
		Log:    m.log,
	})
	return err
}

// newWorker makes the agent that runs tasks.
func (m *member) newWorker(db *state.DB) (*worker.Worker, error) {
	d := m.daemon
	n := &network{plane: m.plane, dir: d.netnsDir()}
	x, err := d.runtime.executor(d.cfg.Name, n)
	if err != nil {
		return nil, err
	}
	cfg := worker.Config{
		NodeID:   m.identity().NodeID,
		Executor: x,
		State:    db,
		Plane:    m.plane,
		Netns:    n.path,
		Images:   d.runtime.images,
		Logs:     &tasklog.Reader{StateDir: d.cfg.StateDir},
		Managers: m.settings.Managers,
		Dial: func(_ context.Context, addr string) (*grpc.ClientConn, error) {
			return dial(addr, m.holder.Current, mtls.AnyManager())
		},
		Describe: m.describe,
		Heard:    m.gossip.heard,
		Log:      m.log.With("part", "worker"),
	}
	if m.manager != nil {
		cfg.Local = m.settings.Advertise.String()
	}
	return worker.New(cfg)
}

func (m *member) describe(ctx context.Context) (*clusterpb.NodeDescription, error) {
	cfg := m.daemon.cfg
	labels := make(map[string]string)
	for _, l := range cfg.Labels {
		k, v, _ := strings.Cut(l, "=")
		labels[k] = v
	}
	return describe.Node(describe.Given{
		Hostname:          cfg.Name,
		Version:           m.daemon.version,
		ContainerdVersion: m.daemon.runtime.version(ctx),
		Labels:            labels,
		ControlAddr:       m.settings.Advertise.String(),
		DataAddr:          m.settings.DataPath.String(),
		GossipAddr:        m.settings.gossip(cfg.GossipPort),
	})
}

// run runs every part until ctx is done or one fails. The worker says
// good-bye while the manager still serves, and the port stays open longest.
func (m *member) run(ctx context.Context) error {
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	base, _ := errgroup.WithContext(inner)
	g, gctx := errgroup.WithContext(ctx)
	base.Go(func() error { return m.listener.Run(inner) })
	base.Go(func() error { return serve(inner, m.server(), m.listener.For(listen.ProtocolGRPC)) })
	g.Go(func() error { return m.daemon.runtime.runLogger(gctx) })
	g.Go(func() error { return m.worker.Run(gctx) })
	g.Go(func() error { return m.plane.Run(gctx) })
	g.Go(func() error { return m.gossip.run(gctx) })
	g.Go(func() error { return m.renewer().Run(gctx, m.log.With("part", "certificate")) })
	if m.manager != nil {
		g.Go(func() error { return m.manager.Run(gctx) })
	}
	err := g.Wait()
	stop()
	return errors.Join(err, base.Wait(), m.peers.close())
}

// sessionTimeout bounds how long a new member is waited for.
const sessionTimeout = 5 * time.Second

// awaitSession waits until a manager knows this node as more than a name, so
// that a script's next command finds it ready and the images it holds. A node
// that cannot get there is a member all the same.
func (m *member) awaitSession(ctx context.Context) {
	select {
	case <-m.worker.Connected():
	case <-ctx.Done():
	case <-time.After(sessionTimeout):
	}
}

// stop ends all parts and waits for them. Containers run on.
func (m *member) stop() error {
	m.cancel()
	return <-m.ended
}

func (m *member) identity() mtls.Identity { return m.holder.Current().Identity }

// applied is the index of the state that the kernel holds.
func (m *member) applied() uint64 { return m.index.Load() }

// managers are the control addresses of the managers known now.
func (m *member) managers() []string { return m.gossip.managers() }

// trouble is what keeps this node from working, or nil.
func (m *member) trouble() error { return m.holder.Current().Check(time.Now()) }

// dialManager connects to a manager that is not this node if there is one:
// what it is for must not depend on this node.
func (m *member) dialManager() (*grpc.ClientConn, error) {
	addr := m.settings.Advertise.String()
	for _, a := range m.managers() {
		if a != m.settings.Advertise.String() {
			addr = a
			break
		}
	}
	return dial(addr, m.holder.Current, mtls.AnyManager())
}

// voteTimeout bounds how long a new manager waits to be made a voter: the
// others send it the whole log first.
const voteTimeout = 45 * time.Second

// askToVote asks the managers to make this one a voter.
func (m *member) askToVote(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, voteTimeout)
	defer cancel()
	conn, err := m.dialManager()
	if err != nil {
		return err
	}
	defer conn.Close()
	err = untilServed(ctx, func() error {
		_, err := memberpb.NewMemberServiceClient(conn).AddManager(ctx, &memberpb.AddManagerRequest{Addr: m.settings.Advertise.String()})
		return err
	})
	if err != nil {
		return fmt.Errorf("become a manager: %w", err)
	}
	return nil
}

// renewer keeps the certificate valid.
func (m *member) renewer() *mtls.Renewer {
	return &mtls.Renewer{
		Holder: m.holder,
		Request: func(ctx context.Context, csr []byte) (*capb.IssueNodeCertificateResponse, error) {
			conn, err := m.dialManager()
			if err != nil {
				return nil, err
			}
			defer conn.Close()
			return capb.NewCAServiceClient(conn).IssueNodeCertificate(ctx, &capb.IssueNodeCertificateRequest{CsrPem: csr})
		},
		Save: func(c *mtls.Credentials) error { return c.Save(m.daemon.cfg.identityDir()) },
	}
}

func (m *member) isManager() bool { return m.identity().Role == clusterpb.NodeRole_NODE_ROLE_MANAGER }
