package control

import (
	"context"
	"log/slog"
	"time"

	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore"
	"github.com/muster/muster/raftstore/state"
)

// Store is what a controller needs of the replicated store.
type Store interface {
	State() *state.State
	Subscribe() *raftstore.Subscription
	Propose(ctx context.Context, changes ...*raftpb.Change) error
}

// Controller brings the objects behind its keys to where they should be.
type Controller struct {
	Name string

	// Keys returns every key of a state, to start from.
	Keys func(*state.State) []string

	// KeysOf maps a changed object to the keys it concerns.
	KeysOf func(*state.State, state.Ref) []string

	// Plan decides, and only decides: no I/O, no clock but now. It may ask to
	// be called again after a delay even if nothing changes.
	Plan func(s *state.State, key string, now time.Time) (changes []*raftpb.Change, again time.Duration)
}

// Run looks at the keys of the controllers until ctx is done, which is how
// leadership ends; it returns nil then. The controllers take turns in the order given,
// each on a state that holds what the one before proposed. Proposals that fail
// are retried with back-off; a plan that panics is an error in the program and
// ends the run with an error.
func Run(ctx context.Context, store Store, log *slog.Logger, controllers ...*Controller) error {
	sub := store.Subscribe()
	defer sub.Close()

	loops := make([]*loop, len(controllers))
	for i, c := range controllers {
		loops[i] = newLoop(c, store, log)
		for _, k := range c.Keys(store.State()) {
			loops[i].agenda.add(k, time.Time{})
		}
	}

	for {
		for _, l := range loops {
			if err := l.turn(ctx); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait(loops)):
		case <-sub.C:
			notice(loops, store, sub)
		}
	}
}

// notice puts the keys that a change concerns on the agendas.
func notice(loops []*loop, store Store, sub *raftstore.Subscription) {
	refs := sub.Take()
	st := store.State()
	for ref := range refs {
		for _, l := range loops {
			for _, k := range l.KeysOf(st, ref) {
				l.agenda.add(k, time.Time{})
			}
		}
	}
}

// wait returns how long until the earliest key is due.
func wait(loops []*loop) time.Duration {
	next := time.Hour
	now := time.Now()
	for _, l := range loops {
		next = min(next, l.agenda.wait(now))
	}
	return next
}
