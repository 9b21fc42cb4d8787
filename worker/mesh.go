package worker

import (
	"context"
	"time"
)

// maxPause bounds how long changes of the mesh are gathered under load.
const maxPause = 20 * time.Millisecond

// meshLoop hands the data plane what the kernel should hold, whenever that
// may have changed. It pauses for as long as the last round took, at most
// 20 ms, so that many changes at a time cost no more than half a core.
func (w *Worker) meshLoop(ctx context.Context) error {
	wake(w.meshDue)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.meshDue:
		}
		start := time.Now()
		// Tasks first: a task is attached before it is held ready, so a want
		// never lacks one that an older one had.
		tasks := w.snapshots()
		w.mu.Lock()
		h := w.held
		w.mu.Unlock()
		if want := wantOf(h, tasks, w.cfg.NodeID, w.dataAddr, w.cfg.Netns); want != nil {
			w.cfg.Plane.Set(want)
		}
		if d := min(time.Since(start), maxPause); d > 0 {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(d):
			}
		}
	}
}
