package ingress

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestCensus: fifty tasks that drain on a node where a list of its flows takes
// long cost no more than their share of a core, and each is told what is so
// after it asked.
func TestCensus(t *testing.T) {
	const takes, tasks, run = 500 * time.Millisecond, 50, time.Minute
	synctest.Test(t, func(t *testing.T) {
		a := netip.MustParseAddr("10.128.0.1")
		var mu sync.Mutex
		lists, ended := 0, time.Now().Add(run/2)
		c := newCensus(func() ([]netip.Addr, error) {
			mu.Lock()
			lists++
			mu.Unlock()
			still := time.Now().Before(ended)
			time.Sleep(takes) // of the fake clock
			if still {
				return []netip.Addr{a, a, netip.MustParseAddr("::ffff:10.128.0.1")}, nil
			}
			return nil, nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), run)
		defer cancel()
		var wg sync.WaitGroup
		for range tasks {
			wg.Go(func() {
				for ctx.Err() == nil {
					asked := time.Now()
					n, err := c.count(ctx, []netip.Addr{a, netip.MustParseAddr("fd00::1")})
					if err == nil && (n != 0 && n != 3 || n != 0 && asked.After(ended)) {
						t.Errorf("%d connections, asked %v after they ended", n, asked.Sub(ended))
					}
					select {
					case <-ctx.Done():
					case <-time.After(100 * time.Millisecond):
					}
				}
			})
		}
		wg.Wait()
		if spent := time.Duration(lists) * takes; spent > run/10 || lists < 5 {
			t.Errorf("%d lists took %v of %v", lists, spent, run)
		}
	})
}

// TestCensusWaitsNoLongerThanItsCaller: who gives up does not count.
func TestCensusWaitsNoLongerThanItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCensus(func() ([]netip.Addr, error) { time.Sleep(time.Second); return nil, nil })
		if _, err := c.count(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if _, err := c.count(ctx, nil); err == nil || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}
