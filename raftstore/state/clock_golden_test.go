package state_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
	"github.com/muster/muster/raftstore/storetest"
)

func TestClockGolden(t *testing.T) {
	ahead := storetest.Start().Add(24 * time.Hour)
	log := commands([][]*raftpb.Change{
		{state.CreateTask(&clusterpb.Task{
			Id: "t", ServiceId: "s", Slot: 1, Desired: lifecycle.Ready, StartAfter: timestamppb.New(ahead.Add(5 * time.Second)),
		})},
		{state.SetClock()},
	})
	log[0].ProposedAt = timestamppb.New(ahead)
	s := restoreGolden(t, "clock", log)
	task, _ := s.Task("t")
	now := log[1].GetProposedAt().AsTime()
	if got := task.GetStartAfter().AsTime().Sub(now); !s.Time.Equal(now) || got != 5*time.Second {
		t.Errorf("at %v the task starts in %v, want at %v, in 5s", s.Time, got, now)
	}
}
