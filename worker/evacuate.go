package worker

import (
	"context"
	"fmt"
	"time"

	"github.com/muster/muster/proto/lifecycle"
)

// evacuationPeriod is how often the tasks that are left are counted.
const evacuationPeriod = 100 * time.Millisecond

// Evacuate tells managers that the machine shuts down, and waits until they have
// moved or stopped its tasks, or ctx is done. The node says so for the rest of
// this run.
func (w *Worker) Evacuate(ctx context.Context) error {
	w.describer.stopping.set()
	tick := time.NewTicker(evacuationPeriod)
	defer tick.Stop()
	for {
		left := w.tasks.running()
		if left == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%d tasks still run here: %w", left, context.Cause(ctx))
		}
	}
}

// running counts the tasks that have a process, or are about to.
func (t *tasks) running() (n int) {
	for _, s := range t.snapshots() {
		if st := s.Status.GetState(); st >= lifecycle.Starting && !lifecycle.Ended(st) {
			n++
		}
	}
	return n
}
