package raftstore

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
)

// FSM folds committed log entries into a state.State. Raft calls Apply from a single
// goroutine, so the only lock here guards the subscriber set.
type FSM struct {
	state atomic.Pointer[state.State]

	mu   sync.Mutex
	subs map[*Subscription]struct{}
}

var _ raft.BatchingFSM = (*FSM)(nil)

// NewFSM returns an FSM holding the state before the first command.
func NewFSM() *FSM {
	f := &FSM{subs: make(map[*Subscription]struct{})}
	f.state.Store(state.NewState())
	return f
}

// State returns the latest applied state. It never blocks.
func (f *FSM) State() *state.State { return f.state.Load() }

// Apply folds one committed entry into the state. Its answer, an Outcome,
// reaches the proposer; it does not depend on the replica.
func (f *FSM) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch folds entries that were committed together: one State is
// published for them all and subscribers wake once.
func (f *FSM) ApplyBatch(logs []*raft.Log) []any {
	answers := make([]any, len(logs))
	next := f.State()
	var touched []state.Ref
	for i, l := range logs {
		if l.Type != raft.LogCommand {
			continue // raft's own entries tell of its members, not of the state
		}
		cmd := new(raftpb.Command)
		if err := proto.Unmarshal(l.Data, cmd); err != nil {
			// Skipping the entry would make this replica differ from the others.
			panic(fmt.Sprintf("raftstore: entry %d is not a command: %v", l.Index, err))
		}
		var out state.Outcome
		next, out = next.Apply(l.Index, cmd)
		answers[i] = out
		touched = append(touched, out.Touched...)
	}
	f.state.Store(next)
	f.publish(touched)
	return answers
}
