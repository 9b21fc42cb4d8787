package task

import (
	"fmt"
	"time"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// saveTimeout is how long managers are kept waiting for the node's own disk. A
// disk that hangs must not hide from them that a task has ended.
const saveTimeout = time.Second

// memory saves a task's statuses on this node, one after the other.
type memory struct {
	save   func(*clusterpb.TaskStatus) error
	newest func() *clusterpb.TaskStatus
	busy   chan struct{} // holds a token while it saves
}

func newMemory(save func(*clusterpb.TaskStatus) error, newest func() *clusterpb.TaskStatus) *memory {
	return &memory{save: save, newest: newest, busy: make(chan struct{}, 1)}
}

// remember saves the newest status, and returns when it is on disk or will be
// once the disk answers.
func (m *memory) remember() error {
	timeout := time.NewTimer(saveTimeout)
	defer timeout.Stop()
	saved := make(chan error, 1)
	select {
	case m.busy <- struct{}{}:
		go m.catchUp(saved)
	case <-timeout.C:
		return fmt.Errorf("the disk has not answered for %s", saveTimeout)
	}
	select {
	case err := <-saved:
		return err
	case <-timeout.C:
		return fmt.Errorf("the disk has not answered for %s", saveTimeout)
	}
}

// catchUp saves until nothing newer has come meanwhile.
func (m *memory) catchUp(saved chan<- error) {
	defer func() { <-m.busy }()
	for {
		s := m.newest()
		err := m.save(s)
		if m.newest() == s {
			saved <- err
			return
		}
	}
}
