package membership

import (
	"time"

	"github.com/muster/muster/manager/control"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
)

// awaited is how long a worker that was given a certificate may take to connect,
// which comes at once. There is a place for some 32,000 nodes only, and whoever
// knows the token could take all.
const awaited = time.Hour

// Controller returns the controller that forgets workers which never connected
// to a leader, who leads since then. Its keys are nodes.
func Controller(since time.Time) *control.Controller {
	return &control.Controller{
		Name: "awaited nodes",
		Keys: func(s *state.State) (ids []string) {
			for n := range s.Nodes() {
				ids = append(ids, n.GetId())
			}
			return ids
		},
		KeysOf: func(_ *state.State, ref state.Ref) []string {
			if ref.Kind == state.KindNode {
				return []string{ref.ID}
			}
			return nil
		},
		Plan: func(s *state.State, id string, now time.Time) ([]*raftpb.Change, time.Duration) {
			n, ok := s.Node(id)
			if !ok || n.GetStatus() != nil || n.GetRole() != clusterpb.NodeRole_NODE_ROLE_WORKER {
				return nil, 0
			}
			from := since // nobody could connect before
			if at := n.GetCreatedAt().AsTime(); at.After(since) && !at.After(now) {
				from = at
			}
			if left := from.Add(awaited).Sub(now); left > 0 {
				return nil, left
			}
			return []*raftpb.Change{state.ForgetNode(s, id, now)}, 0
		},
	}
}
