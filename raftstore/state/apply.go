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
		return s.begin(index, now).commit(), Outcome{ObjectID: done.GetObjectId(), Err: AppliedError(done)}
	}

	tx := s.begin(index, now)
	err := tx.applyAll(cmd.GetChanges())
	if err != nil {
		tx = s.begin(index, now) // forget what the first changes did
	}
	out := Outcome{ObjectID: tx.answer, Err: err, Touched: tx.touched}
	if cmd.GetRequestId() != "" {
		tx.remember(cmd.GetRequestId(), out)
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
	case *raftpb.Change_PutCluster:
		return tx.putCluster(k.PutCluster.GetCluster())
	case *raftpb.Change_PutClusterSecrets:
		return tx.putClusterSecrets(k.PutClusterSecrets.GetSecrets())
	case *raftpb.Change_PutService:
		return tx.putService(k.PutService.GetService())
	case *raftpb.Change_DeleteService:
		return tx.deleteService(k.DeleteService.GetId())
	case *raftpb.Change_SetUpdateStatus:
		return tx.setUpdateStatus(k.SetUpdateStatus)
	case *raftpb.Change_CreateTask:
		return tx.createTask(k.CreateTask.GetTask())
	case *raftpb.Change_AssignTask:
		return tx.assignTask(k.AssignTask)
	case *raftpb.Change_SetDesired:
		tx.setDesired(k.SetDesired)
		return nil
	case *raftpb.Change_ObserveTask:
		tx.observeTask(k.ObserveTask.GetId(), k.ObserveTask.GetStatus())
		return nil
	case *raftpb.Change_DeleteTask:
		tx.deleteTask(k.DeleteTask.GetId())
		return nil
	case *raftpb.Change_PutNode:
		return tx.putNode(k.PutNode.GetNode())
	case *raftpb.Change_ObserveNode:
		tx.observeNode(k.ObserveNode)
		return nil
	case *raftpb.Change_DeleteNode:
		return tx.deleteNode(k.DeleteNode.GetId(), k.DeleteNode.GetExpiresAt())
	default:
		// A newer leader wrote this. Stop rather than drift; see DESIGN.md.
		panic(fmt.Sprintf("raft entry %d: unknown change %T", tx.index, k))
	}
}
