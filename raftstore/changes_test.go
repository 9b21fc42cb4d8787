package raftstore_test

import (
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
)

// What these tests write; what comes of it is package state's concern.

func node(id string) *raftpb.Change {
	return state.PutNode(&raftpb.PutNode{Id: id, Role: clusterpb.NodeRole_NODE_ROLE_WORKER})
}

// service is one named web.
func service(id string) *raftpb.Change {
	return state.PutService(&raftpb.PutService{Id: id, Spec: &clusterpb.ServiceSpec{Name: "web"}})
}

func task(id, serviceID string) *raftpb.Change {
	return state.CreateTask(&clusterpb.Task{Id: id, ServiceId: serviceID, Slot: 1})
}

func observe(id string, to clusterpb.TaskState, message string) *raftpb.Change {
	return state.ObserveTask(id, &clusterpb.TaskStatus{State: to, Message: message})
}
