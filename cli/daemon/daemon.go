package daemon

import (
	"context"
	"errors"
	"net"
	"os"

	"golang.org/x/sync/errgroup"

	"github.com/muster/muster/cli/daemon/node"
	"github.com/muster/muster/ingress/gossip"
	"github.com/muster/muster/manager/resolver"
	nodepb "github.com/muster/muster/proto/node/v1"
	"github.com/muster/muster/worker/images"
)

// Run runs the daemon until ctx is done or something it cannot do without
// fails. Containers keep running.
func Run(ctx context.Context, cfg Config, version string) (err error) {
	state, err := hold("state", cfg.StateDir, 0o700)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	log := cfg.Logger().With("node", cfg.Name)
	// Sockets say nothing of the state directory they belong to.
	sock, err := listen(cfg.Socket(), log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sock.Close(), sock.release()) }()
	log.InfoContext(ctx, "muster starts", "version", version, "state", cfg.StateDir, "pid", os.Getpid())
	var n *node.Node
	r, err := newRuntime(cfg, sock, images.PeerClient{
		Dial: func(addr string) (nodepb.PeerServiceClient, error) { return n.Peer(addr) },
	}, log)
	if err != nil {
		return err
	}
	n = node.New(node.Config{
		Name: cfg.Name, Version: version, Labels: cfg.labels(), StateDir: cfg.StateDir,
		Network:    tcp{},
		GossipPort: cfg.GossipPort,
		Gossip:     func(c gossip.Config) (node.Gossip, error) { return gossip.New(c) },
		Machine:    r.machine,
		Content:    images.NewPeerServer(r.images),
		Images:     &resolver.Resolver{HostsDir: cfg.HostsDir},
		Log:        log,
	})
	ctx, stop := untilStop(ctx, n, log)
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.run(ctx) })
	g.Go(func() error { return sock.keep(ctx) })
	g.Go(func() error { return n.ServeLocal(ctx, sock, &local{Local: node.Local{Node: n}, runtime: r}) })
	g.Go(func() error { return n.Run(ctx) })
	err = g.Wait()
	log.Info("muster stops", "err", err)
	return err
}

// tcp is the network that the daemon is in.
type tcp struct{}

var _ node.Network = tcp{}

// Host implements node.Network.
func (tcp) Host() (node.Host, error) { return node.ThisHost() }

// Listen implements node.Network.
func (tcp) Listen(addr string) (net.Listener, error) { return net.Listen("tcp", addr) } //nolint:noctx // it waits for nothing

// Dial implements node.Network.
func (tcp) Dial(ctx context.Context, addr string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", addr)
}
