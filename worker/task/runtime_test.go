package task

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"

	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/worker/executor"
	"github.com/muster/muster/worker/executor/executortest"
)

// away is a runtime that is unavailable until a time.
type away struct {
	*executortest.Fake
	until time.Time
}

func (a *away) check() error {
	if time.Now().Before(a.until) {
		return fmt.Errorf("containerd restarts: %w", errdefs.ErrUnavailable)
	}
	return nil
}

func (a *away) Prepare(ctx context.Context, r executor.Request, progress func(string)) error {
	if err := a.check(); err != nil {
		return err
	}
	return a.Fake.Prepare(ctx, r, progress)
}

func (a *away) Wait(ctx context.Context, id string) (executor.Exit, error) {
	if err := a.check(); err != nil {
		return executor.Exit{}, err
	}
	return a.Fake.Wait(ctx, id)
}

func TestRuntimeRestarts(t *testing.T) {
	tests := map[string]struct {
		away time.Duration
		want string
	}{
		"for a while": {40 * time.Second, "accepted preparing ready starting running"},
		"for good":    {time.Hour, "accepted preparing rejected"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNode(t)
				n.run(&away{n.fake, time.Now().Add(tt.away)}, web(lifecycle.Running), assigned)
				defer func() { n.stop() }()
				time.Sleep(2 * time.Minute)
				n.want(tt.want)
			})
		})
	}
	t.Run("knows of new image sources", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := newNode(t)
			n.run(&away{n.fake, time.Now().Add(10 * time.Second)}, web(lifecycle.Running), assigned)
			defer func() { n.stop() }()
			time.Sleep(time.Second)
			n.ctl.Order(&dispatchpb.TaskAssignment{
				Task: web(lifecycle.Running), Sources: []*dispatchpb.ImageSource{{Image: "web", Digest: "sha256:1", Addrs: []string{"n2:2377"}}},
			})
			time.Sleep(time.Minute)
			n.want("accepted preparing ready starting running")
			if got := n.fake.Sources("t1"); len(got) != 1 || got[0].GetDigest() != "sha256:1" {
				t.Errorf("prepared with sources %v, want those told while the runtime was away", got)
			}
		})
	})
	t.Run("under a running task", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := newNode(t)
			n.run(n.fake, web(lifecycle.Running), assigned)
			synctest.Wait()
			n.stop()
			n.run(&away{n.fake, time.Now().Add(time.Hour)}, web(lifecycle.Running), n.saved)
			defer func() { n.stop() }()
			time.Sleep(2 * time.Hour)
			n.want("accepted preparing ready starting running")
			n.fake.End("t1", executor.Exit{Code: 4})
			n.want("accepted preparing ready starting running failed")
		})
	})
}

// TestLateProgress: a transfer that tasks share tells of its progress when one of
// them has gone on.
func TestLateProgress(t *testing.T) {
	for want, end := range map[string]bool{
		"accepted preparing ready starting running":          false,
		"accepted preparing ready starting running complete": true,
	} {
		synctest.Test(t, func(t *testing.T) {
			n := newNode(t)
			n.run(n.fake, web(lifecycle.Running), assigned)
			defer func() { n.stop() }()
			synctest.Wait()
			if end {
				n.fake.End("t1", executor.Exit{})
				synctest.Wait()
			}
			n.ctl.report(lifecycle.Preparing, nil)
			n.want(want)
		})
	}
}
