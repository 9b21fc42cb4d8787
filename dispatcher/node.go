package dispatcher

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster/muster/dispatcher/lease"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
)

// ready says that the node is connected.
func ready(id, addr string, now time.Time) *raftpb.ObserveNode {
	return &raftpb.ObserveNode{Id: id, Status: &clusterpb.NodeStatus{
		State: clusterpb.NodeStatus_STATE_READY, Since: timestamppb.New(now), Addr: addr,
	}}
}

// images replaces the list of images a node holds.
func images(id string, list []*clusterpb.NodeImage) *raftpb.ObserveNode {
	return &raftpb.ObserveNode{Id: id, Images: &raftpb.NodeImages{Images: list}}
}

// described replaces what the node says of itself.
func described(id string, d *clusterpb.NodeDescription) *raftpb.ObserveNode {
	return &raftpb.ObserveNode{Id: id, Description: d}
}

// disconnected says that the node announced a restart of its daemon.
func disconnected(id string, now time.Time) *raftpb.ObserveNode {
	return &raftpb.ObserveNode{Id: id, Status: &clusterpb.NodeStatus{
		State:   clusterpb.NodeStatus_STATE_DISCONNECTED,
		Since:   timestamppb.New(now),
		Message: fmt.Sprintf("its daemon stops or restarts; its tasks are kept for %v", lease.GoodbyeGrace),
	}}
}

// lost says that the node's lease has ended.
func lost(id string, silence time.Duration, now time.Time) *raftpb.Change {
	return state.ObserveNode(&raftpb.ObserveNode{Id: id, Status: &clusterpb.NodeStatus{
		State:   clusterpb.NodeStatus_STATE_DOWN,
		Since:   timestamppb.New(now),
		Message: fmt.Sprintf("no heartbeat for %v", silence),
	}})
}
