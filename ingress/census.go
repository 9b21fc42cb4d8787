package ingress

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// censusShare is how much of a core the census may take: one part of so many.
const censusShare = 12

// census counts the connections that lead to each task. Everybody who asks at
// a time shares one count, of what they ask for and nothing else, and counts
// that cost much come at longer intervals: tasks that drain cost a share of a
// core at most, however many they and the node's flows are.
type census struct {
	// list counts the connections to each address, and tells what that took of a core.
	list func([]netip.Addr) (n map[netip.Addr]int, cost time.Duration, err error)
	// counting lets one goroutine at a time count, and guards what follows it.
	counting *semaphore.Weighted
	began    time.Time // of the last count
	next     time.Time // no count before
	found    map[netip.Addr]int
	err      error

	mu    sync.Mutex
	asked map[netip.Addr]int // how many wait for a count of it
}

func newCensus(list func([]netip.Addr) (map[netip.Addr]int, time.Duration, error)) *census {
	return &census{list: list, counting: semaphore.NewWeighted(1), asked: make(map[netip.Addr]int)}
}

// count returns how many connections lead to the addresses, by a count that
// began after the call. It waits for one no longer than ctx.
func (c *census) count(ctx context.Context, addrs []netip.Addr) (n int, err error) {
	c.ask(addrs, 1)
	defer c.ask(addrs, -1)
	called := time.Now() // what began after that counts these addresses too
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

// ask says that so many more wait for a count of the addresses.
func (c *census) ask(addrs []netip.Addr, more int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range addrs {
		a = a.Unmap()
		if c.asked[a] += more; c.asked[a] == 0 {
			delete(c.asked, a)
		}
	}
}

// wanted are the addresses that somebody waits for a count of.
func (c *census) wanted() []netip.Addr {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.AppendSeq(make([]netip.Addr, 0, len(c.asked)), maps.Keys(c.asked))
}

// take counts, once it is time to. The error is that it was not.
func (c *census) take(ctx context.Context) error {
	if early := time.Until(c.next); early > 0 {
		select {
		case <-time.After(early):
		case <-ctx.Done():
			return fmt.Errorf("wait for a count of connections: %w", context.Cause(ctx))
		}
	}
	c.began = time.Now()
	var cost time.Duration
	c.found, cost, c.err = c.list(c.wanted())
	c.next = time.Now().Add((censusShare - 1) * cost)
	return nil
}
