package dispatcher

import (
	"context"
	"time"

	"github.com/muster/muster/dispatcher/plan"
	"github.com/muster/muster/proto/spec"
)

// maxPause bounds how long news are held back under load.
const maxPause = 20 * time.Millisecond

// planLoop makes a plan of every state and wakes the sessions it concerns.
// It acts at once when idle; under load it pauses for as long as the last
// round took, so that changes gather and half the time is left to others.
func (t *term) planLoop(ctx context.Context) error {
	sub := t.cfg.Store.Subscribe()
	defer sub.Close()
	st := t.cfg.Store.State()
	t.plan.Store(plan.First(st, st.Index))
	close(t.planned)

	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.nodes.lowWaterDue:
		case <-sub.C:
		}
		start := time.Now()
		if refs := sub.Take(); len(refs) > 0 {
			st := t.cfg.Store.State()
			step := t.plan.Load().Next(st, st.Index, refs)
			t.plan.Store(step.Plan)
			t.nodes.spread(step, spec.HeartbeatPeriod(st.Cluster().GetSpec()))
		}
		t.nodes.raiseLowWaterMark(t.plan.Load().Index())
		if !pause(ctx, min(time.Since(start), maxPause)) {
			return nil
		}
	}
}

func pause(ctx context.Context, d time.Duration) (goOn bool) {
	if d <= 0 {
		return ctx.Err() == nil
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
