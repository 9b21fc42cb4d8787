package task

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
)

// TestDiskThatHangs: what happened is told after a moment, and is on disk, the
// newest last, once it answers.
func TestDiskThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var newest *clusterpb.TaskStatus
		var onDisk []clusterpb.TaskState
		thaw := make(chan struct{})
		m := newMemory(func(s *clusterpb.TaskStatus) error {
			<-thaw
			mu.Lock()
			defer mu.Unlock()
			onDisk = append(onDisk, s.GetState())
			return nil
		}, func() *clusterpb.TaskStatus {
			mu.Lock()
			defer mu.Unlock()
			return newest
		})
		for _, state := range []clusterpb.TaskState{lifecycle.Starting, lifecycle.Running, lifecycle.Failed} {
			mu.Lock()
			newest = &clusterpb.TaskStatus{State: state}
			mu.Unlock()
			start := time.Now()
			if err := m.remember(); err == nil || time.Since(start) > saveTimeout {
				t.Errorf("%v after %s", err, time.Since(start))
			}
		}
		close(thaw)
		synctest.Wait()
		if n := len(onDisk); n != 2 || onDisk[1] != lifecycle.Failed {
			t.Errorf("on disk are %v", onDisk)
		}
		if err := m.remember(); err != nil {
			t.Error(err)
		}
	})
}
