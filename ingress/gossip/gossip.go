package gossip

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/hashicorp/memberlist"
)

// DefaultPort is the TCP and UDP port of gossip.
const DefaultPort = 7946

// reclaim is after how long a node that is dead may come back with another address.
const reclaim = 30 * time.Second

// leaveTimeout bounds how long a node that stops waits until somebody heard that it leaves.
const leaveTimeout = 2 * time.Second

// Config configures gossip.
type Config struct {
	// ID is the node's id, under which others see it.
	ID string
	// BindAddr is the address to listen on; all addresses if empty.
	BindAddr string
	// BindPort is the TCP and UDP port; DefaultPort if zero.
	BindPort int
	// Advertise is the address by which others reach this node; if empty, one of the machine's.
	Advertise string
	// Keys are the keys that others may encrypt with, 16, 24 or 32 bytes each.
	// The first encrypts what this node sends. There must be one.
	Keys [][]byte
	// Label is the cluster's id.
	Label string
	// Meta is told to the other nodes, at most MaxMeta bytes.
	Meta []byte
	// Seeds returns the addresses, HOST or HOST:PORT, of nodes that are known
	// from elsewhere. It is asked now and then, to find each other again after
	// all had lost each other.
	Seeds func() []string
	// Rejoin is how often to contact the seeds that do not seem alive; 30 s if zero. While
	// this node is alone it is tried every second.
	Rejoin time.Duration
	// Transport replaces the network, for tests; nil for UDP and TCP.
	Transport memberlist.Transport
	// Log is where to log, at debug level; slog.Default() if nil.
	Log *slog.Logger
}

// Gossip is one node's part in the gossip.
type Gossip struct {
	cfg  Config
	view *view

	mu   sync.Mutex // guards the order of changes to keys
	keys *memberlist.Keyring
}

// New checks the configuration. It returns ErrInvalidArgument without a key,
// with one of a wrong size, or with too much metadata: unencrypted gossip does not exist.
func New(cfg Config) (*Gossip, error) {
	if cfg.ID == "" {
		return nil, fmt.Errorf("gossip: no node id: %w", errdefs.ErrInvalidArgument)
	}
	if len(cfg.Meta) > MaxMeta {
		return nil, fmt.Errorf("gossip: %d bytes of metadata, the most is %d: %w", len(cfg.Meta), MaxMeta, errdefs.ErrInvalidArgument)
	}
	if err := validateKeys(cfg.Keys); err != nil {
		return nil, err
	}
	keys, err := memberlist.NewKeyring(cfg.Keys, cfg.Keys[0])
	if err != nil {
		return nil, fmt.Errorf("gossip: keys: %w", err)
	}
	if cfg.BindPort == 0 {
		cfg.BindPort = DefaultPort
	}
	if cfg.BindAddr == "" {
		cfg.BindAddr = "0.0.0.0"
	}
	if cfg.Rejoin == 0 {
		cfg.Rejoin = 30 * time.Second
	}
	if cfg.Seeds == nil {
		cfg.Seeds = func() []string { return nil }
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	return &Gossip{cfg: cfg, keys: keys, view: newView()}, nil
}

// Run takes part in the gossip until ctx is done, then tells the others that
// this node leaves on purpose.
func (g *Gossip) Run(ctx context.Context) error {
	self := &delegate{meta: g.cfg.Meta}
	list, err := g.create(g.config(self))
	if err != nil {
		return fmt.Errorf("listen for gossip on %s: %w", net.JoinHostPort(g.cfg.BindAddr, strconv.Itoa(g.cfg.BindPort)), err)
	}
	g.rejoin(ctx, list)
	self.leaving.Store(true)
	if err := errors.Join(list.UpdateNode(leaveTimeout), list.Leave(leaveTimeout)); err != nil {
		g.cfg.Log.DebugContext(ctx, "left the gossip unheard", "err", err)
	}
	if err := list.Shutdown(); err != nil {
		return fmt.Errorf("stop gossip: %w", err)
	}
	return nil
}

// create begins to listen, on a transport that bounds strangers.
func (g *Gossip) create(c *memberlist.Config) (*memberlist.Memberlist, error) {
	inner := c.Transport
	if inner == nil {
		var err error
		inner, err = memberlist.NewNetTransport(&memberlist.NetTransportConfig{BindAddrs: []string{c.BindAddr}, BindPort: c.BindPort, Logger: c.Logger})
		if err != nil {
			return nil, err //nolint:wrapcheck // Run says where
		}
	}
	c.Transport = bound(inner, func() int { return max(len(g.view.members()), len(g.cfg.Seeds())) })
	list, err := memberlist.Create(c)
	if err != nil {
		return nil, errors.Join(err, c.Transport.Shutdown())
	}
	return list, nil
}

// rejoin contacts the seeds that are not alive, again and again until ctx is
// done: gossip alone does not find back nodes that all sides hold dead.
func (g *Gossip) rejoin(ctx context.Context, list *memberlist.Memberlist) {
	for {
		if absent := g.absent(); len(absent) > 0 {
			if n, err := list.Join(absent); err != nil {
				g.cfg.Log.DebugContext(ctx, "some nodes did not answer gossip", "answered", n, "err", err)
			}
		}
		again := g.cfg.Rejoin
		if g.view.alone() {
			again = min(again, time.Second)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(again):
		}
	}
}

// absent returns the seeds at whose address nobody is alive.
func (g *Gossip) absent() []string {
	alive := g.view.addresses()
	var absent []string
	for _, s := range g.cfg.Seeds() {
		addr := s
		if _, _, err := net.SplitHostPort(s); err != nil {
			addr = net.JoinHostPort(s, strconv.Itoa(g.cfg.BindPort))
		}
		if !alive[addr] {
			absent = append(absent, addr)
		}
	}
	return absent
}

func (g *Gossip) config(self *delegate) *memberlist.Config {
	c := memberlist.DefaultLANConfig()
	c.Name = g.cfg.ID
	c.BindAddr, c.BindPort = g.cfg.BindAddr, g.cfg.BindPort
	c.AdvertiseAddr, c.AdvertisePort = g.cfg.Advertise, g.cfg.BindPort
	c.Transport = g.cfg.Transport
	c.Label = g.cfg.Label
	c.Keyring = g.keys
	c.GossipVerifyIncoming, c.GossipVerifyOutgoing = true, true
	c.DeadNodeReclaimTime = reclaim
	c.Delegate = self
	c.Events, c.Ping = g.view, g.view
	c.Logger = log.New(&logWriter{log: g.cfg.Log, suspect: g.view.suspect}, "", 0) //nolint:forbidigo // memberlist takes no slog.Logger
	return c
}

// SetKeys replaces the keys; the first encrypts from now on. To rotate without
// a gap, first give all nodes the new key behind the old, then before it, and
// then alone. It returns ErrInvalidArgument if there is no key or one is of a wrong size.
func (g *Gossip) SetKeys(keys [][]byte) error {
	if err := validateKeys(keys); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, k := range keys {
		if err := g.keys.AddKey(k); err != nil {
			return fmt.Errorf("gossip: add key: %w", err)
		}
	}
	if err := g.keys.UseKey(keys[0]); err != nil {
		return fmt.Errorf("gossip: use key: %w", err)
	}
	for _, old := range slices.Clone(g.keys.GetKeys()) {
		if slices.ContainsFunc(keys, func(k []byte) bool { return slices.Equal(k, old) }) {
			continue
		}
		if err := g.keys.RemoveKey(old); err != nil {
			return fmt.Errorf("gossip: remove key: %w", err)
		}
	}
	return nil
}

func validateKeys(keys [][]byte) error {
	if len(keys) == 0 {
		return fmt.Errorf("gossip: no key: %w", errdefs.ErrInvalidArgument)
	}
	for _, k := range keys {
		if err := memberlist.ValidateKey(k); err != nil {
			return fmt.Errorf("gossip: a key of %d bytes, not 16, 24 or 32: %w", len(k), errdefs.ErrInvalidArgument)
		}
	}
	return nil
}

// View returns what this node believes of each node it has heard of, itself included.
func (g *Gossip) View() map[string]Member { return g.view.members() }

// Changed holds one token when the view has changed since it was last received from.
func (g *Gossip) Changed() <-chan struct{} { return g.view.changed }
