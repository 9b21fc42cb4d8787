package worker

import (
	"context"
	"fmt"
	"sync"
)

// lowWaterMark is the lowest index that every live node has acknowledged, as far as
// this node heard.
type lowWaterMark struct {
	mu    sync.Mutex
	index uint64
	moved chan struct{} // closed when index changes
}

func newLowWaterMark() *lowWaterMark { return &lowWaterMark{moved: make(chan struct{})} }

// raise notes what a manager said. A new leader starts from nothing, but what
// once was acknowledged stays so.
func (m *lowWaterMark) raise(index uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if index <= m.index {
		return
	}
	m.index = index
	close(m.moved)
	m.moved = make(chan struct{})
}

// wait waits until the low-water mark has reached index.
func (m *lowWaterMark) wait(ctx context.Context, index uint64) error {
	for {
		m.mu.Lock()
		at, moved := m.index, m.moved
		m.mu.Unlock()
		if at >= index {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for all nodes to hold index %d, they hold %d: %w", index, at, ctx.Err())
		case <-moved:
		}
	}
}
