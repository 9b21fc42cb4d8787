package dispatcher

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster/muster/dispatcher/lease"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
)

// daemon is one run of a daemon: where it connects from, and its instance (see
// dispatchpb.Register).
type daemon struct{ addr, instance string }

// connected is the status of a node whose daemon by has a session, and says d of the node.
func connected(d *clusterpb.NodeDescription, by daemon, now time.Time) *clusterpb.NodeStatus {
	s := &clusterpb.NodeStatus{State: clusterpb.NodeStatus_STATE_READY, Since: timestamppb.New(now), Addr: by.addr, Instance: by.instance}
	s.Message = sentences(d.GetWarnings())
	switch {
	case d.GetStopping():
		s.State, s.Message = clusterpb.NodeStatus_STATE_UNWELL, "its machine shuts down; its tasks move"
	case len(d.GetTroubles()) > 0:
		s.State, s.Message = clusterpb.NodeStatus_STATE_UNWELL, sentences(slices.Concat(d.GetTroubles(), d.GetWarnings()))
	}
	return s
}

// sentences joins texts for a place that holds one line.
func sentences(texts []string) string {
	const most = 3
	if more := len(texts) - most; more > 0 {
		texts = append(slices.Clone(texts[:most]), fmt.Sprintf("and %d more", more))
	}
	return strings.Join(texts, "; ")
}

// images replaces the list of images a node holds.
func images(id string, list []*clusterpb.NodeImage) *raftpb.ObserveNode {
	return &raftpb.ObserveNode{Id: id, Images: &raftpb.NodeImages{Images: fitting(list)}}
}

// fitting is as much of a list of images as fits a log entry: those can be
// fetched from the node, while an entry that is refused would tell of none.
func fitting(list []*clusterpb.NodeImage) []*clusterpb.NodeImage {
	size := 0
	for i, image := range list {
		if size += proto.Size(image); size > maxBatchBytes {
			return list[:i]
		}
	}
	return list
}

// described replaces what the connected node n says of itself.
func described(n *clusterpb.Node, d *clusterpb.NodeDescription, now time.Time) *raftpb.ObserveNode {
	was := n.GetStatus()
	status := connected(d, daemon{was.GetAddr(), was.GetInstance()}, now)
	if status.GetState() == was.GetState() {
		status.Since = was.GetSince()
	}
	return &raftpb.ObserveNode{Id: n.GetId(), Description: d, Status: status}
}

// disconnected says that the node announced a restart of its daemon.
func disconnected(id string, now time.Time) *raftpb.ObserveNode {
	return &raftpb.ObserveNode{Id: id, Status: &clusterpb.NodeStatus{
		State:   clusterpb.NodeStatus_STATE_DISCONNECTED,
		Since:   timestamppb.New(now),
		Message: fmt.Sprintf("its daemon stops or restarts; its tasks are kept for %v", lease.GoodbyeGrace),
	}}
}

// shutDown says that the node's machine is shut down.
func shutDown(id string, now time.Time) *raftpb.ObserveNode {
	return &raftpb.ObserveNode{Id: id, Status: &clusterpb.NodeStatus{
		State:   clusterpb.NodeStatus_STATE_DOWN,
		Since:   timestamppb.New(now),
		Message: "its machine was shut down",
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
