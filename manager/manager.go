package manager

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/muster/muster/dispatcher"
	"github.com/muster/muster/dispatcher/mtls"
	"github.com/muster/muster/dispatcher/rpcerror"
	"github.com/muster/muster/manager/api"
	"github.com/muster/muster/manager/api/service"
	"github.com/muster/muster/manager/ca"
	"github.com/muster/muster/manager/forward"
	"github.com/muster/muster/manager/logbroker"
	"github.com/muster/muster/manager/membership"
	"github.com/muster/muster/manager/orchestrator/update"
	capb "github.com/muster/muster/proto/ca/v1"
	"github.com/muster/muster/proto/call"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	logspb "github.com/muster/muster/proto/logs/v1"
	memberpb "github.com/muster/muster/proto/member/v1"
	"github.com/muster/muster/raftstore"
	"github.com/muster/muster/raftstore/state"
)

// Config says how a manager runs.
type Config struct {
	// Store is this manager's member of the replicated state. Run runs it.
	Store *raftstore.Store
	// Dial opens a connection to the control port of another manager. It must
	// not wait for it to be up.
	Dial func(addr string) (*grpc.ClientConn, error)
	// Connect opens a bare connection to a port of a node, HOST:PORT. It is how
	// the leader finds out whether it reaches a new manager.
	Connect func(ctx context.Context, addr string) (net.Conn, error)
	// Images finds out what image references stand for.
	Images service.Images
	// Gossip tells what membership gossip says of each node, by node id.
	Gossip func() map[string]string
	Log    *slog.Logger
}

// Manager is the control plane of one node.
type Manager struct {
	cfg        Config
	dispatcher *dispatcher.Server
	broker     *logbroker.Broker
	inside     *inside
	director   director
}

// New returns a manager that does nothing until it is run.
func New(cfg Config) (*Manager, error) {
	m := &Manager{cfg: cfg, director: director{election: cfg.Store, leader: leaderConn{dial: cfg.Dial}}}
	m.dispatcher = dispatcher.New(dispatcher.Config{
		Store:  cfg.Store,
		Leader: m.director.elsewhere,
		Log:    cfg.Log.With("part", "dispatcher"),
	})
	m.broker = logbroker.New(logbroker.Config{Store: cfg.Store, Nodes: m.dispatcher, Log: cfg.Log.With("part", "logs")})
	var err error
	if m.inside, err = newInside(m.register, m.Standing); err != nil {
		return nil, err
	}
	m.director.inside = m.inside.conn
	return m, nil
}

// Register registers what this manager answers itself, leading or not. The
// server must hand all other calls to Handler.
func (m *Manager) Register(s grpc.ServiceRegistrar) {
	dispatchpb.RegisterDispatcherServiceServer(s, m.dispatcher)
}

// register registers what only the leader can answer.
func (m *Manager) register(s grpc.ServiceRegistrar) {
	users := api.New(api.Config{
		Store: m.cfg.Store, Members: m.cfg.Store, Images: m.cfg.Images, Gossip: m.cfg.Gossip, Preview: preview,
		LowWaterMark: m.dispatcher.LowWaterMark,
	})
	users.Register(s)
	controlpb.RegisterLogServiceServer(s, m.broker)
	logspb.RegisterLogsServiceServer(s, m.broker)
	capb.RegisterCAServiceServer(s, ca.NewService(caState{m.cfg.Store}, m.cfg.Log.With("part", "ca")))
	dispatchpb.RegisterInventoryServiceServer(s, &dispatcher.Inventory{Store: m.cfg.Store})
	memberpb.RegisterMemberServiceServer(s, &membership.Server{Store: m.cfg.Store, Dial: m.cfg.Connect, Nodes: users})
}

// preview asks the orchestrators, which the API does not know.
func preview(st *state.State, svc, next *clusterpb.Service) []*controlpb.PlannedSlot {
	return update.Preview(svc, next, slices.Collect(st.TasksOf(svc.GetId())), st.Node)
}

// Handler hands calls on to the leader, which may be this manager.
func (m *Manager) Handler() grpc.StreamHandler { return forward.Handler(m.director.direct) }

// Suspect is the hint of gossip that a node does not answer.
func (m *Manager) Suspect(nodeID string) { m.dispatcher.Suspect(nodeID) }

// Run runs the manager until ctx is done. It then hands leadership over and
// closes the store.
func (m *Manager) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return m.cfg.Store.Run(ctx) })
	g.Go(func() error { return m.inside.run(ctx) })
	g.Go(func() error { return m.director.run(ctx) })
	g.Go(func() error { //nolint:contextcheck // a term has its own, which ends with it
		for term := range m.cfg.Store.Leadership() {
			if err := m.lead(term); err != nil {
				return err
			}
		}
		return nil
	})
	err := g.Wait()
	return errors.Join(err, m.director.leader.close())
}

// inside is the server of what only the leader can answer. It listens in
// memory, so that nothing but this manager's own handlers reaches it, and looks
// again at who calls: it knows best who was removed.
type inside struct {
	listener *bufconn.Listener
	server   *grpc.Server
	conn     *grpc.ClientConn
}

func newInside(register func(grpc.ServiceRegistrar), standing mtls.Standing) (*inside, error) {
	in := &inside{listener: bufconn.Listen(1 << 18)}
	gate := mtls.Gate{Peer: call.Forwarded, Standing: standing}
	opts := append(append(rpcerror.ServerOptions(), gate.ServerOptions()...), grpc.MaxRecvMsgSize(call.MaxMessage))
	in.server = grpc.NewServer(opts...)
	register(in.server)
	var err error
	in.conn, err = grpc.NewClient("passthrough:leader",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return in.listener.DialContext(ctx) }),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(call.MaxMessage)),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, fmt.Errorf("connect to the server inside: %w", err)
	}
	return in, nil
}

func (in *inside) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, in.server.Stop)
	defer stop()
	if err := in.server.Serve(in.listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) && ctx.Err() == nil {
		return fmt.Errorf("serve inside: %w", err)
	}
	return in.conn.Close()
}
