package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/muster/muster/dispatcher/listen"
	"github.com/muster/muster/dispatcher/mtls"
	"github.com/muster/muster/manager"
	"github.com/muster/muster/manager/founding"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	memberpb "github.com/muster/muster/proto/member/v1"
	"github.com/muster/muster/raftstore"
	"github.com/muster/muster/raftstore/transport"
	"github.com/muster/muster/worker"
	"github.com/muster/muster/worker/state"
)

// leadTimeout bounds how long the first manager waits for its own election.
const leadTimeout = 30 * time.Second

// member is this node as a member of a cluster: everything that runs only then.
type member struct {
	node     *Node
	log      *slog.Logger
	settings settings
	holder   *mtls.Holder
	connect  connector

	store   *raftstore.Store // nil on workers
	manager *manager.Manager // nil on workers
	worker  *worker.Worker
	machine *Machine
	gossip  *gossiper

	listener *listen.Listener

	cancel context.CancelFunc
	ended  chan error
}

// startMember makes this node run as a member, in a new cluster if f is
// given. It returns once the node takes part: a manager that founds the cluster
// leads it, one that joins has a vote. ctx bounds only the start: the member
// runs until stop is called.
func (n *Node) startMember(ctx context.Context, s settings, credentials *mtls.Credentials, f *founding.Founding) (*member, error) {
	m := &member{node: n, log: n.log, settings: s, holder: &mtls.Holder{}, ended: make(chan error, 1)}
	m.holder.Set(credentials)
	m.connect = connector{n.cfg.Network, m.holder.Current}
	n.peers.use(m.holder.Current)
	port, err := n.cfg.Network.Listen(s.Listen.String())
	if err != nil {
		return nil, explainListen(s, err)
	}
	m.listener = listen.New(port, m.entrance().TLS(), m.log.With("part", "port"))
	run, err := m.assemble(ctx)
	if err != nil {
		return nil, errors.Join(err, port.Close())
	}
	runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	m.cancel = cancel
	go func() {
		err := run(runCtx)
		m.ended <- err
		if runCtx.Err() == nil { // nobody asked for it
			n.failed <- fmt.Errorf("this node can no longer be a member: %w", err)
		}
	}()
	if err := m.enter(ctx, f); err != nil {
		return nil, errors.Join(err, m.stop())
	}
	return m, nil
}

// assemble makes the parts and returns what runs them all.
func (m *member) assemble(ctx context.Context) (run func(context.Context) error, err error) {
	m.gossip = newGossiper(m)
	if m.machine, err = m.node.cfg.Machine(func(index uint64) { m.worker.Applied(index) }); err != nil {
		return nil, err
	}
	if m.isManager() {
		if err := m.assembleManager(ctx); err != nil {
			return nil, err
		}
	}
	db, err := m.assembleWorker()
	if err != nil {
		return nil, errors.Join(err, m.closeStore(ctx))
	}
	return func(ctx context.Context) error {
		err := m.run(ctx)
		return errors.Join(err, db.Close())
	}, nil
}

// assembleManager makes the control plane of a node that votes.
func (m *member) assembleManager(ctx context.Context) error {
	cfg := m.node.cfg.raft(m.identity().NodeID)
	cfg.Stream = transport.New(m.listener.For(listen.ProtocolRaft), m.settings.Advertise.String(), m.connect.raft)
	var err error
	if m.store, err = raftstore.Open(ctx, cfg); err != nil {
		return err
	}
	m.manager, err = manager.New(manager.Config{
		Store:   m.store,
		Dial:    m.connect.forwarding,
		Connect: m.node.cfg.Network.Dial,
		Images:  m.node.cfg.Images,
		Gossip:  m.gossip.view,
		Log:     m.log,
	})
	return err
}

// closeStore closes a store that was never run.
func (m *member) closeStore(ctx context.Context) error {
	if m.store == nil {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return m.store.Run(ctx)
}

// assembleWorker makes the agent, and opens its memory.
func (m *member) assembleWorker() (*state.DB, error) {
	dir := m.node.cfg.workerDir()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make directory of the worker: %w", err)
	}
	db, err := state.Open(filepath.Join(dir, "tasks.db"))
	if err != nil {
		return nil, err
	}
	if m.worker, err = m.newWorker(db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// run runs every part until ctx is done or one fails. The worker says
// good-bye while the manager still serves, and the port stays open longest.
func (m *member) run(ctx context.Context) error {
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	base, _ := errgroup.WithContext(inner)
	g, gctx := errgroup.WithContext(ctx)
	// Before the listener runs, which reads whom to serve.
	calls, server := m.listener.For(listen.ProtocolGRPC), m.server(ofNodes()) //nolint:contextcheck // each call has its own
	asked, strangers := m.listener.ForStrangers(), m.server(ofStrangers())    //nolint:contextcheck // each call has its own
	base.Go(func() error { return m.listener.Run(inner) })
	if m.manager != nil {
		base.Go(func() error { return m.listener.Watch(inner, m.entrance().Stands) })
	}
	base.Go(func() error { return serve(inner, server, calls) })
	base.Go(func() error { return serve(inner, strangers, asked) })
	g.Go(func() error { return m.machine.Run(gctx) })
	g.Go(func() error { return m.machine.Troubles.Run(gctx) })
	g.Go(func() error { return m.machine.Plane.Run(gctx) })
	// The manager outlives the worker, whose good-bye it may be the one to record.
	managing, resign := context.WithCancel(context.WithoutCancel(gctx))
	g.Go(func() error {
		defer resign()
		return m.worker.Run(gctx)
	})
	g.Go(func() error { return m.gossip.run(gctx) })
	g.Go(func() error { return m.renewer().Run(gctx, m.log.With("part", "certificate")) })
	if m.manager != nil {
		g.Go(func() error { return m.manager.Run(managing) })
	}
	err := g.Wait()
	stop()
	return errors.Join(err, base.Wait(), m.node.peers.close())
}

// stop ends all parts and waits for them. Containers run on.
func (m *member) stop() error {
	m.cancel()
	return <-m.ended
}

// enter makes the member take part.
func (m *member) enter(ctx context.Context, f *founding.Founding) error {
	switch {
	case m.store == nil:
		return nil
	case f != nil:
		return m.found(ctx, f)
	case len(m.store.Members()) == 0:
		return m.askForVote(ctx, m.others)
	}
	return nil
}

// found puts the new cluster into the empty store.
func (m *member) found(ctx context.Context, f *founding.Founding) error {
	ctx, cancel := context.WithTimeoutCause(ctx, leadTimeout, fmt.Errorf("the new cluster has no leader after %s: %w", leadTimeout, errdefs.ErrUnavailable))
	defer cancel()
	if err := m.store.Bootstrap(ctx); err != nil {
		return err
	}
	if err := m.store.AwaitLeadership(ctx); err != nil {
		return err
	}
	return m.store.Propose(ctx, f.Changes()...)
}

// voteTimeout bounds how long a new manager waits to be made a voter: the
// others send it the whole log first.
const voteTimeout = 45 * time.Second

// askForVote asks managers to make this one a voter, or to know it at another
// address if it is one.
func (m *member) askForVote(ctx context.Context, managers func() []string) error {
	ctx, cancel := context.WithTimeout(ctx, voteTimeout)
	defer cancel()
	err := m.connect.askAny(ctx, managers, func(_ context.Context, conn *grpc.ClientConn) error {
		// In all of the time: the log may be long. Keepalive finds who is silent.
		_, err := memberpb.NewMemberServiceClient(conn).AddManager(ctx, &memberpb.AddManagerRequest{Addr: m.settings.Advertise.String()})
		return err
	})
	if err != nil {
		return fmt.Errorf("become a manager: %w", err)
	}
	return nil
}

// routingTimeout bounds how long a new member is waited for.
const routingTimeout = 5 * time.Second

// awaitRouting waits until this node has registered with a manager and routes as
// it says, so that a script's next command finds the node ready, the images it
// holds, and the cluster's ports on it. A node that cannot get there is a member
// all the same.
func (m *member) awaitRouting(ctx context.Context) {
	select {
	case <-m.worker.Routing():
	case <-ctx.Done():
	case <-time.After(routingTimeout):
	}
}

func (m *member) identity() mtls.Identity { return m.holder.Current().Identity }

func (m *member) isManager() bool { return m.identity().Role == clusterpb.NodeRole_NODE_ROLE_MANAGER }

// trouble is what keeps this node from working, or nil.
func (m *member) trouble() error { return m.holder.Current().Check(time.Now()) }
