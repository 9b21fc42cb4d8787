package executortest

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/worker/executor"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/pod"
)

// HealthCheck implements executor.Prober by the same rules as the real
// executor.
func (f *Fake) HealthCheck(_ context.Context, t *clusterpb.Task) (*clusterpb.HealthCheck, error) {
	f.record("HealthCheck", t.GetId())
	f.mu.Lock()
	defer f.mu.Unlock()
	spec := pod.Main(t.GetSpec())
	image := f.behaviours[spec.GetImage()].Health
	if p, ok := f.tasks[t.GetId()]; ok {
		image = p.behaviour.Health
	}
	return executor.MergeHealth(spec.GetHealth(), image), nil
}

// Exec implements executor.Prober: it answers 0 while the task is healthy
// and 1 otherwise.
func (f *Fake) Exec(ctx context.Context, taskID string, _ []string) (int32, string, error) {
	f.record("Exec", taskID)
	p, err := f.process(taskID)
	if err != nil {
		return -1, "", err
	}
	f.mu.Lock()
	delay := p.behaviour.ExecDelay
	f.mu.Unlock()
	if err := pause(ctx, delay); err != nil {
		return -1, "", err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !p.running() {
		return -1, "", fmt.Errorf("task %s is not running: %w", taskID, errdefs.ErrFailedPrecondition)
	}
	up, b := time.Since(p.startedAt), p.behaviour
	if up < b.HealthyAfter || (b.UnhealthyAfter > 0 && up >= b.UnhealthyAfter) {
		return 1, cmp.Or(b.Output, "unhealthy"), nil
	}
	return 0, cmp.Or(b.Output, "healthy"), nil
}
