package worker

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster/muster/ingress"
	"github.com/muster/muster/ingress/ingresstest"
)

// background calls f until the test ends.
func background(t *testing.T, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := f(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
}

// Many changes at a time take at most half of the time, and no change waits
// for longer than 20 ms.
func TestMeshIsSetAsOftenAsThatCostsHalfTheTime(t *testing.T) {
	tests := map[string]struct {
		cost time.Duration // of making out what the kernel should hold
		want int           // times in a second in which it changes all the time
	}{
		"cheap":  {5 * time.Millisecond, 100},
		"costly": {20 * time.Millisecond, 25},
		"slow":   {80 * time.Millisecond, 10},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				plane := ingresstest.New()
				m := newMesh(plane)
				background(t, func(ctx context.Context) error {
					return m.run(ctx, func() *ingress.Want {
						time.Sleep(tt.cost)
						wake(m.due) // something changed meanwhile
						return &ingress.Want{}
					})
				})
				time.Sleep(time.Second + time.Microsecond)
				if got := len(plane.Wants()); got != tt.want {
					t.Errorf("set %d times in a second, want %d", got, tt.want)
				}
			})
		})
	}
}

// A burst costs two rounds at most: one at its first change and one behind its last.
func TestManyChangesAtATimeAreGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plane := ingresstest.New()
		m := newMesh(plane)
		var known atomic.Bool
		background(t, func(ctx context.Context) error {
			return m.run(ctx, func() *ingress.Want {
				time.Sleep(time.Millisecond)
				if !known.Load() {
					return nil
				}
				return &ingress.Want{}
			})
		})
		time.Sleep(time.Second)
		if got := len(plane.Wants()); got != 0 {
			t.Errorf("set %d times before the node knows who it is", got)
		}
		known.Store(true)
		for range 100 {
			wake(m.due)
		}
		time.Sleep(time.Second)
		if got := len(plane.Wants()); got < 1 || got > 2 {
			t.Errorf("set %d times for changes at one time", got)
		}
		before := len(plane.Wants())
		time.Sleep(time.Hour)
		if got := len(plane.Wants()); got != before {
			t.Errorf("set %d times more although nothing changed", got-before)
		}
	})
}

// A task waits for the node's network for a while, and then tries: that fails
// with the reason.
func TestTaskWaitsForTheNetwork(t *testing.T) {
	tests := map[string]struct {
		after time.Duration // the network is up, or never if negative
		end   time.Duration // of the task's patience, or never if 0
		want  time.Duration
		err   error
	}{
		"it is up":              {0, 0, 0, nil},
		"it comes":              {5 * time.Second, 0, 5 * time.Second, nil},
		"it never comes":        {-1, 0, upTimeout, nil},
		"the task is not to be": {-1, time.Second, time.Second, context.DeadlineExceeded},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, ctx := newMesh(ingresstest.New()), t.Context()
				switch {
				case tt.after == 0:
					m.up.set()
				case tt.after > 0:
					time.AfterFunc(tt.after, m.up.set)
				}
				if tt.end > 0 {
					short, cancel := context.WithTimeout(ctx, tt.end)
					defer cancel()
					ctx = short
				}
				start := time.Now()
				if err := m.Up(ctx); !errors.Is(err, tt.err) || time.Since(start) != tt.want {
					t.Errorf("%v after %s, want %v after %s", err, time.Since(start), tt.err, tt.want)
				}
			})
		})
	}
}

// What all nodes once acknowledged stays so, whatever a new leader says.
func TestLowWaterMarkOnlyRises(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(ingresstest.New())
		var reached atomic.Int64
		var wg sync.WaitGroup
		for _, index := range []uint64{0, 3, 5, 5, 9} {
			wg.Go(func() {
				if err := m.Left(t.Context(), index); err != nil {
					t.Error(err)
				}
				reached.Add(1)
			})
		}
		for _, step := range []struct {
			mark uint64
			want int64 // of the five
		}{{0, 1}, {3, 2}, {1, 2}, {4, 2}, {5, 4}, {0, 4}, {12, 5}} {
			m.lowWater.raise(step.mark)
			synctest.Wait()
			if got := reached.Load(); got != step.want {
				t.Errorf("told %d, %d waits are over, want %d", step.mark, got, step.want)
			}
		}
		wg.Wait()
		if err := m.Left(t.Context(), 9); err != nil {
			t.Errorf("what is reached already: %v", err)
		}
	})
}

func TestWaitForTheMarkSaysWhatItWaitedFor(t *testing.T) {
	m := newMesh(ingresstest.New())
	m.lowWater.raise(7)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := m.Left(ctx, 8)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "index 8, they hold 7") {
		t.Errorf("error %v", err)
	}
}
