package dispatcher

import (
	"context"

	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore"
	"github.com/muster/muster/raftstore/state"
)

// Store is what the dispatcher needs of the replicated state.
type Store interface {
	State() *state.State
	Subscribe() *raftstore.Subscription
	Propose(ctx context.Context, changes ...*raftpb.Change) error
}
