package node

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sync/errgroup"

	"github.com/muster/muster/ingress/gossip"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
)

// gossiper runs the membership gossip with the keys and the nodes that the
// managers sent, and tells this node's manager of nodes that do not answer.
type gossiper struct {
	member *member
	news   chan struct{} // holds one token if what was heard changed

	mu       sync.Mutex
	settings *dispatchpb.Settings
	seeds    []string
	running  Gossip
	// broken is why this node does not gossip now.
	broken error
}

func newGossiper(m *member) *gossiper {
	return &gossiper{member: m, news: make(chan struct{}, 1)}
}

// heard takes what managers tell; it does not wait.
func (g *gossiper) heard(s *dispatchpb.Settings, peers []*dispatchpb.Peer) {
	seeds := make([]string, 0, len(peers))
	for _, p := range peers {
		if p.GetGossipAddr() != "" {
			seeds = append(seeds, p.GetGossipAddr())
		}
	}
	g.mu.Lock()
	changed := g.settings == nil || !slices.EqualFunc(g.settings.GetGossipKeys(), s.GetGossipKeys(), slices.Equal[[]byte])
	g.settings, g.seeds = s, seeds
	g.mu.Unlock()
	if changed {
		select {
		case g.news <- struct{}{}:
		default:
		}
	}
}

func (g *gossiper) last() (*dispatchpb.Settings, []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.settings, g.seeds
}

// managers are the control addresses of the managers known now.
func (g *gossiper) managers() []string {
	if s, _ := g.last(); len(s.GetManagers()) > 0 {
		return s.GetManagers()
	}
	return g.member.settings.Managers
}

// view tells what gossip says of each node, this one included.
func (g *gossiper) view() map[string]string {
	g.mu.Lock()
	running := g.running
	g.mu.Unlock()
	said := make(map[string]string)
	if running == nil {
		return said
	}
	for id, m := range running.View() {
		said[id] = m.Liveness.String()
	}
	return said
}

// gossipRetry bounds the pauses before this node tries to gossip again.
const gossipRetry = time.Minute

// run waits for the first keys, then gossips until ctx is done. What keeps it
// from that keeps the node from nothing else: gossip is a hint.
func (g *gossiper) run(ctx context.Context) error {
	retry := backoff.NewExponentialBackOff()
	retry.MaxInterval = gossipRetry
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-g.news:
		case <-again:
		}
		s, _ := g.last()
		if len(s.GetGossipKeys()) == 0 {
			continue
		}
		began := time.Now()
		g.note(nil, nil)
		err := g.gossip(ctx, s)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was to end
		}
		if time.Since(began) > gossipRetry {
			retry.Reset()
		}
		pause := retry.NextBackOff()
		g.note(nil, err)
		g.member.log.WarnContext(ctx, "this node does not gossip: will retry", "in", pause, "err", err)
		again = time.After(pause)
	}
}

// note keeps what gossips now, or why nothing does.
func (g *gossiper) note(running Gossip, broken error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running, g.broken = running, broken
}

// warnings are why this node does not gossip.
func (g *gossiper) warnings() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.broken == nil {
		return nil
	}
	return []string{"gossip: " + g.broken.Error()}
}

func (g *gossiper) gossip(ctx context.Context, s *dispatchpb.Settings) error {
	m := g.member
	log := m.log.With("part", "gossip")
	running, err := m.node.cfg.Gossip(gossip.Config{
		ID:        m.identity().NodeID,
		BindAddr:  m.settings.listenHost(),
		BindPort:  int(m.node.cfg.GossipPort),
		Advertise: m.settings.Advertise.Addr().String(),
		Keys:      s.GetGossipKeys(),
		Label:     s.GetClusterId(),
		Seeds:     func() []string { _, seeds := g.last(); return seeds },
		Log:       log,
	})
	if err != nil {
		return err
	}
	g.note(running, nil)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return running.Run(ctx) })
	group.Go(func() error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-g.news:
				s, _ := g.last()
				if err := running.SetKeys(s.GetGossipKeys()); err != nil {
					return errors.Join(errors.New("use the cluster's gossip keys"), err)
				}
			case <-running.Changed():
				g.hint(running)
			}
		}
	})
	return group.Wait()
}

// hint tells this node's manager of nodes that do not answer. It looks after
// their sessions sooner then; only if it leads that has an effect.
func (g *gossiper) hint(running Gossip) {
	if g.member.manager == nil {
		return
	}
	for id, m := range running.View() {
		if m.Liveness == gossip.Suspect || m.Liveness == gossip.Dead {
			g.member.manager.Suspect(id)
		}
	}
}
