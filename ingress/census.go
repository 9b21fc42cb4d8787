package ingress

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sync/semaphore"
)

// censusShare is how much of its time the census may count: one part of so
// many. The kernel lists all its flows, which takes 1.2 s of a core where there
// are 100,000.
const censusShare = 12

// census counts the connections that lead to each task. Everybody who asks at
// a time shares one count, and counts that take long come at longer intervals:
// tasks that drain cost a share of a core at most, however many they and the
// node's flows are.
type census struct {
	// list returns the address that replies come from, for each connection.
	list func() ([]netip.Addr, error)
	// counting lets one goroutine at a time count, and guards what follows it.
	counting *semaphore.Weighted
	began    time.Time // of the last count
	next     time.Time // no count before
	found    map[netip.Addr]int
	err      error
}

func newCensus(list func() ([]netip.Addr, error)) *census {
	return &census{list: list, counting: semaphore.NewWeighted(1)}
}

// count returns how many connections lead to the addresses, by a count that
// began after the call. It waits for one no longer than ctx.
func (c *census) count(ctx context.Context, addrs []netip.Addr) (n int, err error) {
	called := time.Now()
	if err := c.counting.Acquire(ctx, 1); err != nil {
		return 0, fmt.Errorf("wait for a count of connections: %w", err)
	}
	defer c.counting.Release(1)
	if c.began.Before(called) {
		if err := c.take(ctx); err != nil {
			return 0, err
		}
	}
	for _, a := range addrs {
		n += c.found[a.Unmap()]
	}
	return n, c.err
}

// take counts, once it is time to. The error is that it was not.
func (c *census) take(ctx context.Context) error {
	wait := time.NewTimer(time.Until(c.next))
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
		return fmt.Errorf("wait for a count of connections: %w", context.Cause(ctx))
	}
	c.began = time.Now()
	var servers []netip.Addr
	servers, c.err = c.list()
	c.found = make(map[netip.Addr]int)
	for _, a := range servers {
		c.found[a.Unmap()]++
	}
	end := time.Now()
	c.next = end.Add((censusShare - 1) * end.Sub(c.began))
	return nil
}
