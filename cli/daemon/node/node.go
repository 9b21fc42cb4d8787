package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/dispatcher/mtls"
	"github.com/muster/muster/manager/founding"
	nodepb "github.com/muster/muster/proto/node/v1"
	"github.com/muster/muster/raftstore"
)

// Node is one node, in a cluster or not yet.
type Node struct {
	cfg   Config
	log   *slog.Logger
	peers *peers

	// changing holds a token while the node founds, joins or leaves a cluster.
	changing chan struct{}
	member   atomic.Pointer[member] // nil while in no cluster
	// resumed is closed once the node is the member that it was. No command is
	// answered before: it would be told that the node is in no cluster.
	resumed chan struct{}
	// failed receives why a member ended that nobody stopped.
	failed chan error
}

// New returns a node that does nothing until it is run.
func New(cfg Config) *Node {
	return &Node{
		cfg: cfg, log: cfg.Log, peers: &peers{network: cfg.Network},
		changing: make(chan struct{}, 1), resumed: make(chan struct{}), failed: make(chan error, 1),
	}
}

// Run resumes the membership found in the state directory, and keeps whatever
// membership there is until ctx is done. Containers run on. It fails when the
// node can no longer be the member that it is.
func (n *Node) Run(ctx context.Context) error {
	if err := n.resume(ctx); err != nil {
		return err
	}
	close(n.resumed)
	var err error
	select {
	case <-ctx.Done():
	case err = <-n.failed:
	}
	n.changing <- struct{}{} // for good: no new membership begins
	if m := n.member.Swap(nil); m != nil {
		err = errors.Join(err, m.stop())
	}
	return err
}

// Evacuate has the cluster move or stop this node's tasks, since the machine
// shuts down, and waits until none runs here, or ctx is done. Nothing else
// changes: started again, the node takes tasks as before.
func (n *Node) Evacuate(ctx context.Context) error {
	if m := n.member.Load(); m != nil {
		return m.worker.Evacuate(ctx)
	}
	return nil
}

// Peer returns a client of the node at addr, for content that it holds.
func (n *Node) Peer(addr string) (nodepb.PeerServiceClient, error) { return n.peers.node(addr) }

// Resumed is closed once the node is the member that it was, if it was one.
func (n *Node) Resumed() <-chan struct{} { return n.resumed }

// Store is this node's member of the replicated store, for tests that look at
// the cluster from inside; nil while the node is no manager.
func (n *Node) Store() *raftstore.Store {
	if m := n.member.Load(); m != nil {
		return m.store
	}
	return nil
}

// begin waits until no other change of membership is under way. The change
// ends with the function it returns.
func (n *Node) begin(ctx context.Context) (end func(), err error) {
	select {
	case n.changing <- struct{}{}:
		return func() { <-n.changing }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// resume makes the node the member that it was.
func (n *Node) resume(ctx context.Context) error {
	end, err := n.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	credentials, err := mtls.Load(n.cfg.identityDir())
	if errdefs.IsNotFound(err) {
		if err := n.mustHaveLostNothing(); err != nil {
			return err
		}
		// What a founding or joining that broke off has left is of no use.
		return n.wipe()
	}
	if err != nil {
		return err
	}
	s, err := loadSettings(n.cfg.StateDir)
	if err != nil {
		return err
	}
	m, err := n.startMember(ctx, s, credentials, nil)
	if err != nil {
		return err
	}
	n.member.Store(m)
	return nil
}

// mustHaveLostNothing refuses to wipe the state of a manager whose identity
// alone is gone: it may be the only copy.
func (n *Node) mustHaveLostNothing() error {
	settings := filepath.Join(n.cfg.StateDir, settingsFile)
	for _, path := range []string{settings, n.cfg.raftDir()} {
		if _, err := os.Stat(path); err != nil {
			return nil //nolint:nilerr // no manager was here
		}
	}
	return fmt.Errorf("%s is missing, but %s holds the state of a manager: restore it, or remove %s to start again without that state: %w",
		n.cfg.identityDir(), n.cfg.raftDir(), settings, errdefs.ErrDataLoss)
}

// become makes the node a member with new credentials. The credentials are
// saved last: a node without them is none. On an error nothing is left.
func (n *Node) become(ctx context.Context, s settings, credentials *mtls.Credentials, f *founding.Founding) (err error) {
	if err := n.wipe(); err != nil {
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
		err = errors.Join(err, n.wipe())
	}()
	// The member outlives the request that begins it.
	if m, err = n.startMember(context.WithoutCancel(ctx), s, credentials, f); err != nil {
		return err
	}
	if err := s.save(n.cfg.StateDir); err != nil {
		return err
	}
	if err := credentials.Save(n.cfg.identityDir()); err != nil {
		return err
	}
	n.member.Store(m)
	m.awaitRouting(ctx)
	return nil
}

// mustBeAlone refuses to found or join when this node is a member already.
func (n *Node) mustBeAlone() error {
	if m := n.member.Load(); m != nil {
		return fmt.Errorf("this node is part of cluster %s already: run \"muster swarm leave\" first: %w",
			m.identity().ClusterID, errdefs.ErrFailedPrecondition)
	}
	return nil
}

// wipe removes all that a node has as a member. The credentials go first.
func (n *Node) wipe() error {
	store := n.cfg.raft("")
	return errors.Join(
		mtls.Remove(n.cfg.identityDir()),
		removeSettings(n.cfg.StateDir),
		store.Wipe(),
		os.RemoveAll(n.cfg.workerDir()),
	)
}
