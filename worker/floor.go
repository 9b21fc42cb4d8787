package worker

import (
	"context"
	"fmt"
	"sync"
)

// floor is the lowest index that every live node has acknowledged, as far as
// this node heard.
type floor struct {
	mu    sync.Mutex
	index uint64
	moved chan struct{} // closed when index changes
}

func newFloor() *floor { return &floor{moved: make(chan struct{})} }

// raise notes what a manager said. A new leader starts from nothing, but what
// once was acknowledged stays so.
func (f *floor) raise(index uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if index <= f.index {
		return
	}
	f.index = index
	close(f.moved)
	f.moved = make(chan struct{})
}

// wait waits until the floor has reached index.
func (f *floor) wait(ctx context.Context, index uint64) error {
	for {
		f.mu.Lock()
		at, moved := f.index, f.moved
		f.mu.Unlock()
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
