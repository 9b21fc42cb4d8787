package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/cli/daemon/node"
	"github.com/muster/muster/ingress"
	"github.com/muster/muster/ingress/gossip"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	nodepb "github.com/muster/muster/proto/node/v1"
	"github.com/muster/muster/worker/describe"
	"github.com/muster/muster/worker/trouble"
)

// machine is what a life of the daemon makes of its machine.
func (l *life) machine(applied func(index uint64)) (*node.Machine, error) {
	n := l.of
	n.Kernel.serve(applied)
	return &node.Machine{
		Plane: &plane{Kernel: n.Kernel, dead: l.host.dead},
		Executor: &runtime{
			fake: n.Runtime, dead: l.host.dead, signal: func(t *clusterpb.Task) { n.cluster.signalled(n, t) },
		},
		Logs:     journal{n},
		Describe: describeMachine,
		Troubles: trouble.New(slog.New(slog.DiscardHandler)),
		Run:      untilDone,
		Release:  func(context.Context) error { return nil },
	}, nil
}

// describeMachine says that there is enough of everything.
func describeMachine(_ context.Context, g describe.Given) (*clusterpb.NodeDescription, error) {
	return &clusterpb.NodeDescription{
		Hostname: g.Hostname, Version: g.Version, Labels: g.Labels,
		Platform:    &clusterpb.Platform{Os: "linux", Architecture: "amd64"},
		Resources:   &clusterpb.Resources{NanoCpus: 64e9, MemoryBytes: 64 << 30},
		ControlAddr: g.ControlAddr, DataAddr: g.DataAddr, GossipAddr: g.GossipAddr,
	}, nil
}

func untilDone(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// plane is the connection of one life of a daemon to the node's kernel.
type plane struct {
	*Kernel
	dead <-chan struct{}
}

var _ node.Plane = (*plane)(nil)

// Set implements node.Plane.
func (p *plane) Set(w *ingress.Want) {
	select {
	case <-p.dead:
	default:
		p.set(w)
	}
}

// Run implements node.Plane: the kernel works by itself.
func (*plane) Run(ctx context.Context) error { return untilDone(ctx) }

// silence is a membership gossip in which nobody says anything: all that is
// known of a node is its session. It keeps the keys it was given.
type silence struct{ node *Node }

var _ node.Gossip = silence{}

func (n *Node) gossip(c gossip.Config) (node.Gossip, error) {
	s := silence{n}
	return s, s.SetKeys(c.Keys)
}

// Run implements node.Gossip.
func (s silence) Run(ctx context.Context) error {
	if s.node.GossipPortTaken.Load() {
		return errors.New("listen for gossip: address already in use")
	}
	return untilDone(ctx)
}

// SetKeys implements node.Gossip.
func (s silence) SetKeys(keys [][]byte) error {
	s.node.cluster.mu.Lock()
	defer s.node.cluster.mu.Unlock()
	s.node.gossipKeys = keys
	return nil
}

// View implements node.Gossip.
func (silence) View() map[string]gossip.Member { return nil }

// Changed implements node.Gossip.
func (silence) Changed() <-chan struct{} { return nil }

// content is what other nodes may fetch: nothing.
type content struct {
	nodepb.UnimplementedPeerServiceServer
}

// FetchBlob implements nodepb.PeerServiceServer.
func (content) FetchBlob(r *nodepb.FetchBlobRequest, _ nodepb.PeerService_FetchBlobServer) error {
	return fmt.Errorf("blob %s: %w", r.GetDigest(), errdefs.ErrNotFound)
}
