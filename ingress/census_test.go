package ingress

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
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
		c := newCensus(func([]netip.Addr) (map[netip.Addr]int, time.Duration, error) {
			mu.Lock()
			lists++
			mu.Unlock()
			still := time.Now().Before(ended)
			time.Sleep(takes) // of the fake clock
			if still {
				return map[netip.Addr]int{a: 3}, takes, nil
			}
			return nil, takes, nil
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

// TestCensusGoesByItsCost: a count that waits for a core is not one that uses
// it, so the next one need not come later. What is counted is what somebody asks for.
func TestCensusGoesByItsCost(t *testing.T) {
	const cost = 10 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		var asked [][]netip.Addr
		c := newCensus(func(addrs []netip.Addr) (map[netip.Addr]int, time.Duration, error) {
			time.Sleep(time.Second) // of the fake clock
			asked = append(asked, addrs)
			return map[netip.Addr]int{netip.MustParseAddr("10.128.0.1"): len(asked)}, cost, nil
		})
		ask := func(addrs ...string) (n int) {
			t.Helper()
			var list []netip.Addr
			for _, a := range addrs {
				list = append(list, netip.MustParseAddr(a))
			}
			n, err := c.count(t.Context(), list)
			if err != nil {
				t.Error(err)
			}
			return n
		}
		start := time.Now()
		if n := ask("::ffff:10.128.0.1"); n != 1 {
			t.Errorf("%d connections, want 1", n)
		}
		time.Sleep(time.Millisecond)
		var others sync.WaitGroup
		for range 3 {
			others.Go(func() { ask("10.128.0.1", "10.128.0.2") })
		}
		others.Wait()
		if took, want := time.Since(start), 2*time.Second+(censusShare-1)*cost; took != want {
			t.Errorf("two counts took %v, want %v", took, want)
		}
		if diff := cmp.Diff([]int{1, 2}, []int{len(asked[0]), len(asked[1])}); diff != "" {
			t.Errorf("addresses counted (-want +got):\n%s", diff)
		}
		if left := c.wanted(); len(left) > 0 {
			t.Errorf("nobody waits, and %v is to be counted", left)
		}
	})
}

// TestCensusWaitsNoLongerThanItsCaller: who gives up does not count.
func TestCensusWaitsNoLongerThanItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCensus(func([]netip.Addr) (map[netip.Addr]int, time.Duration, error) {
			time.Sleep(time.Second) // of the fake clock
			return nil, time.Second, nil
		})
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
