package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/muster/muster/dispatcher/agent"
	"github.com/muster/muster/dispatcher/mtls"
	"github.com/muster/muster/dispatcher/rpcerror"
	"github.com/muster/muster/manager"
	"github.com/muster/muster/manager/controlapi"
	"github.com/muster/muster/manager/forward"
	"github.com/muster/muster/proto/call"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/raftstore"
	"github.com/muster/muster/raftstore/state"
	"github.com/muster/muster/worker"
	"github.com/muster/muster/worker/executor/executortest"
	workerstate "github.com/muster/muster/worker/state"
)

// serveGrace is how long calls under way may take once a server stops, as in
// the daemon.
const serveGrace = 2 * time.Second

// Node is a machine: what outlives its daemon.
type Node struct {
	ID string
	// Runtime runs its containers, Kernel holds its mesh.
	Runtime *executortest.Fake
	Kernel  *Kernel

	cluster *Cluster
	index   int
	role    clusterpb.NodeRole
	dir     string
	disk    *raftstore.Memory // managers only
	life    *life             // nil while the daemon is down
	ended   chan struct{}     // closed when the last life is over
}

// life is one run of a node's daemon.
type life struct {
	store *raftstore.Store // nil on workers
	link  *raftLink
	kill  func()
	stop  context.CancelFunc
	// asked: somebody wants it to end; guarded by Cluster.mu.
	asked bool
}

func (n *Node) manages() bool { return n.role == clusterpb.NodeRole_NODE_ROLE_MANAGER }

func (n *Node) caller() caller { return caller{node: n.ID, role: n.role} }

// start runs the daemon of the node, composed as in cli/daemon.
func (n *Node) start() error {
	if n.ended != nil {
		<-n.ended // a process must be gone before the next one locks its files
	}
	ctx, stop := context.WithCancel(context.Background())
	l := &life{stop: stop}
	log := n.cluster.log.With("on", n.ID)
	run, err := n.assemble(ctx, l, log)
	if err != nil {
		stop()
		return fmt.Errorf("start %s: %w", n.ID, err)
	}
	ended := make(chan struct{})
	n.cluster.mu.Lock()
	n.life, n.ended = l, ended
	n.cluster.mu.Unlock()
	go func() {
		defer close(ended)
		err := run(ctx)
		n.cluster.mu.Lock()
		asked := l.asked
		n.cluster.mu.Unlock()
		if err != nil || !asked {
			n.cluster.t.Errorf("the daemon of %s ended: %v", n.ID, err)
		}
	}()
	return nil
}

// assemble makes the parts of a life and returns what runs them.
func (n *Node) assemble(ctx context.Context, l *life, log *slog.Logger) (run func(context.Context) error, err error) {
	dead := make(chan struct{})
	l.kill = func() { close(dead) }
	var m *manager.Manager
	if n.manages() {
		if m, err = n.manager(ctx, l, log); err != nil {
			return nil, err
		}
	}
	db, err := workerstate.Open(filepath.Join(n.dir, "tasks.db"))
	if err != nil {
		return nil, err
	}
	w, err := n.worker(db, &runtime{fake: n.Runtime, dead: dead, signal: func(t *clusterpb.Task) { n.cluster.signalled(n, t) }}, log)
	if err != nil {
		return nil, err
	}
	n.Kernel.serve(w.Applied)
	port := n.cluster.network.listen(n.ID)
	return func(ctx context.Context) error {
		err := n.run(ctx, m, w, port)
		return errors.Join(err, db.Close())
	}, nil
}

func (n *Node) manager(ctx context.Context, l *life, log *slog.Logger) (m *manager.Manager, err error) {
	network := n.cluster.network
	l.link = network.raft(n.ID)
	l.store, err = raftstore.Open(ctx, raftstore.Config{
		ID: n.ID, Memory: n.disk, Transport: l.link, Log: log.With("part", "raft"),
		// The whole log is what history is read from.
		SnapshotThreshold: 1 << 30, TrailingLogs: 1 << 30,
	})
	if err != nil {
		return nil, err
	}
	return manager.New(manager.Config{
		Store: l.store,
		Dial: func(addr string) (*grpc.ClientConn, error) {
			return network.client(n.caller(), addr, agent.KeepaliveParams())
		},
		Images: images{},
		Gossip: func() map[string]string { return nil },
		Log:    log,
	})
}

// images are what they are called.
type images struct{}

// Resolve implements controlapi.Images.
func (images) Resolve(_ context.Context, _ *state.State, image, _ string) (controlapi.Resolved, error) {
	return controlapi.Resolved{Image: image}, nil
}

func (n *Node) worker(db *workerstate.DB, r *runtime, log *slog.Logger) (*worker.Worker, error) {
	network := n.cluster.network
	cfg := worker.Config{
		NodeID: n.ID, Executor: r, State: db, Plane: n.Kernel,
		Netns:    func(taskID string) string { return "/run/netns/" + taskID },
		Managers: n.cluster.managerAddrs(),
		Dial: func(_ context.Context, addr string) (*grpc.ClientConn, error) {
			return network.client(n.caller(), addr, append(rpcerror.DialOptions(), agent.KeepaliveParams())...)
		},
		Describe: n.describe,
		Log:      log.With("part", "worker"),
	}
	if n.manages() {
		cfg.Local = addrOf(n.ID)
	}
	return worker.New(cfg)
}

func (n *Node) describe(context.Context) (*clusterpb.NodeDescription, error) {
	return &clusterpb.NodeDescription{
		Hostname: n.ID, Platform: &clusterpb.Platform{Os: "linux", Architecture: "amd64"},
		Resources:   &clusterpb.Resources{NanoCpus: 64e9, MemoryBytes: 64 << 30},
		ControlAddr: addrOf(n.ID), DataAddr: fmt.Sprintf("192.0.2.%d", n.index),
	}, nil
}

// run runs every part until ctx is done or one fails: the worker says good-bye
// while the manager still serves, and the port stays open longest.
func (n *Node) run(ctx context.Context, m *manager.Manager, w *worker.Worker, p *listener) error {
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	base, _ := errgroup.WithContext(inner)
	base.Go(func() error { return serve(inner, n.server(m), p) })
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return w.Run(ctx) })
	if m != nil {
		g.Go(func() error { return m.Run(ctx) })
	}
	err := g.Wait()
	stop()
	return errors.Join(err, base.Wait())
}

// principal is who calls: users are root on the node that they call.
func (n *Node) principal(ctx context.Context) (call.Principal, error) {
	p, err := mtls.PeerPrincipal(ctx)
	if p.Kind == call.Local {
		p.NodeID, p.ClusterID = n.ID, clusterID
	}
	return p, err
}

// server is the node's control port.
func (n *Node) server(m *manager.Manager) *grpc.Server {
	gate := mtls.Gate{Peer: n.principal}
	if m != nil {
		gate.Removed = m.Removed
	}
	opts := append(append(rpcerror.ServerOptions(), gate.ServerOptions()...),
		grpc.Creds(newServerCredentials()),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	)
	if m == nil {
		return grpc.NewServer(opts...)
	}
	s := grpc.NewServer(append(opts, grpc.ForceServerCodecV2(forward.Codec()), grpc.UnknownServiceHandler(m.Handler()))...)
	m.Register(s)
	return s
}

func serve(ctx context.Context, s *grpc.Server, p *listener) error {
	failed := make(chan error, 1)
	go func() { failed <- s.Serve(p) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve %s: %w", p.Addr(), err)
	case <-ctx.Done():
	}
	cut := time.AfterFunc(serveGrace, s.Stop)
	defer cut.Stop()
	s.GracefulStop()
	if err := <-failed; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve %s: %w", p.Addr(), err)
	}
	return nil
}
