package control

import (
	"fmt"
	"runtime/debug"
	"time"

	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
)

// plan calls the controller's Plan. A panic in it is a fault of the program
// that planning again would meet again: it comes back as an error, so that it
// ends this leadership and not the containers' daemon.
func (l *loop) plan(s *state.State, key string, now time.Time) (changes []*raftpb.Change, again time.Duration, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("controller %s: plan %s: %v\n%s", l.Name, key, p, debug.Stack())
		}
	}()
	changes, again = l.Plan(s, key, now)
	return changes, again, nil
}
