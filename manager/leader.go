package manager

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/muster/muster/manager/clock"
	"github.com/muster/muster/manager/control"
	"github.com/muster/muster/manager/gossipkeys"
	"github.com/muster/muster/manager/membership"
	"github.com/muster/muster/manager/orchestrator/enforce"
	"github.com/muster/muster/manager/orchestrator/reaper"
	"github.com/muster/muster/manager/orchestrator/replicated"
	"github.com/muster/muster/manager/orchestrator/restart"
	"github.com/muster/muster/manager/orchestrator/update"
	"github.com/muster/muster/manager/scheduler"
	"github.com/muster/muster/proto/id"
)

// controllers returns what the cluster does by itself in a term that begins
// now: the table of contents of its behaviour. They take turns in this order,
// each on a state that holds what the one before proposed, so that a new
// service is placed in one round. Correctness does not depend on the order, but
// for the clock, which comes first.
func controllers() []*control.Controller {
	return []*control.Controller{
		clock.Controller(),                    // sets the clock back, where the last leader's was ahead
		replicated.Controller(id.New),         // fills the slots of services
		update.Controller(id.New, time.Now()), // rolls slots that are out of date
		restart.Controller(),                  // starts replacements when their time has come
		enforce.Controller(id.New),            // moves tasks off nodes that no longer fit
		scheduler.Controller(),                // places tasks and gives them addresses
		reaper.Controller(),                   // forgets tasks that are history
		membership.Controller(time.Now()),     // forgets nodes that joined and never connected
		gossipkeys.Controller(),               // gives gossip new keys
	}
}

// lead runs all that only the leader does, for one term. A part that fails
// ends the manager: nobody would notice a cluster that half works.
func (m *Manager) lead(term context.Context) error {
	g, term := errgroup.WithContext(term)
	g.Go(func() error { return control.Run(term, m.cfg.Store, m.cfg.Log, controllers()...) })
	g.Go(func() error { return m.dispatcher.Lead(term) })
	return g.Wait()
}
