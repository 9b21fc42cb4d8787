package state

import (
	"fmt"

	raftpb "github.com/muster/muster/proto/raft/v1"
)

// Outcome is what became of a command.
type Outcome struct {
	// ObjectID is the first service or node that the command created or
	// changed; empty when it did neither.
	ObjectID string
	// Err is why the command was refused: one of errdefs' kinds with a text
	// that a user can read. Nothing of a refused command is in the state.
	Err error
	// Touched names the objects that changed.
	Touched []Ref
}

// Apply returns the state that follows s by one command, which is folded in
// wholly or not at all. The messages in cmd become part of the state: the
// caller must not change them any more.
//
// Apply is pure. It panics on a kind of change it does not know, for a replica
// that skipped one would differ from the others.
func (s *State) Apply(index uint64, cmd *raftpb.Command) (*State, Outcome) {
	now := cmd.GetProposedAt().AsTime()
	if done, ok := s.Applied(cmd.GetRequestId()); ok {
		// The same answer, and no change but that time goes on.
		tx := s.begin(index, now)
		return tx.commit(), Outcome{ObjectID: done.GetObjectId(), Err: AppliedError(done, cmd.GetRequestOf()), Touched: tx.touched}
	}

	tx := s.begin(index, now)
	err := tx.applyAll(cmd.GetChanges())
	if err == nil && cmd.GetRequestId() != "" && !tx.changed {
		// The cluster looks again at what it sees undone; a user waits for an answer.
		err = refuse(conflict, "another change came first, and left nothing of this one to be made")
	}
	if err != nil {
		tx = s.begin(index, now) // forget what the first changes did
	}
	out := Outcome{ObjectID: tx.answer, Err: err, Touched: tx.touched}
	if cmd.GetRequestId() != "" {
		tx.remember(Request{cmd.GetRequestId(), cmd.GetRequestOf()}, out)
	}
	return tx.commit(), out
}

func (tx *tx) applyAll(changes []*raftpb.Change) error {
	for _, c := range changes {
		if err := tx.apply(c); err != nil {
			return err
		}
	}
	return nil
}

// apply is a table of contents: one line per change, one file per object.
func (tx *tx) apply(c *raftpb.Change) error {
	switch k := c.GetKind().(type) {
	case *raftpb.Change_SetClock:
		return nil // begin has done it
	case *raftpb.Change_CreateCluster:
		return tx.createCluster(k.CreateCluster)
	case *raftpb.Change_PutClusterSpec:
		return tx.putClusterSpec(k.PutClusterSpec)
	case *raftpb.Change_RotateJoinSecret:
		return tx.rotateJoinSecret(k.RotateJoinSecret)
	case *raftpb.Change_RotateGossipKeys:
		return tx.rotateGossipKeys(k.RotateGossipKeys)
	case *raftpb.Change_CreateNetwork:
		return tx.createNetwork(k.CreateNetwork)
	case *raftpb.Change_PutNode:
		return tx.putNode(k.PutNode)
	case *raftpb.Change_ObserveNode:
		return tx.observeNode(k.ObserveNode)
	case *raftpb.Change_DeleteNode:
		return tx.deleteNode(k.DeleteNode)
	case *raftpb.Change_PutService:
		return tx.putService(k.PutService)
	case *raftpb.Change_DeleteService:
		return tx.deleteService(k.DeleteService)
	case *raftpb.Change_SetUpdateStatus:
		return tx.setUpdateStatus(k.SetUpdateStatus)
	case *raftpb.Change_CreateTask:
		return tx.createTask(k.CreateTask)
	case *raftpb.Change_AssignTask:
		return tx.assignTask(k.AssignTask)
	case *raftpb.Change_SetDesired:
		return tx.setDesired(k.SetDesired)
	case *raftpb.Change_ObserveTask:
		return tx.observeTask(k.ObserveTask)
	case *raftpb.Change_DeleteTask:
		return tx.deleteTask(k.DeleteTask)
	default:
		// A newer leader wrote this. Stop rather than drift; see DESIGN.md.
		panic(fmt.Sprintf("raft entry %d: unknown change %T", tx.index, k))
	}
}
