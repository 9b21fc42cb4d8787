package controltest

import (
	"context"
	"fmt"
	"sync"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore"
	"github.com/muster/muster/raftstore/state"
)

// Store is a state machine without raft: every proposal commits at once.
type Store struct {
	*raftstore.FSM

	// Fail, when set, is asked before each proposal for the error to give.
	Fail func(changes []*raftpb.Change) error

	mu    sync.Mutex
	index uint64
	sizes []int
}

// NewStore returns the store of an empty cluster.
func NewStore() *Store { return &Store{FSM: raftstore.NewFSM()} }

// Propose commits the changes as one command.
func (s *Store) Propose(_ context.Context, changes ...*raftpb.Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Fail != nil {
		if err := s.Fail(changes); err != nil {
			return err
		}
	}
	s.sizes = append(s.sizes, len(changes))
	data, err := proto.Marshal(&raftpb.Command{ProposedAt: timestamppb.Now(), Changes: changes})
	if err != nil {
		return fmt.Errorf("encode command: %w", err)
	}
	s.index++
	out, _ := s.Apply(&raft.Log{Index: s.index, Type: raft.LogCommand, Data: data}).(state.Outcome)
	return out.Err
}

// Commands returns how many changes each committed command had.
func (s *Store) Commands() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]int(nil), s.sizes...)
}
