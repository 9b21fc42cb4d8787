package storetest

import (
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
)

// PutService writes a service back whose spec, or what stands beside it, was
// edited since it was read, or creates it.
func PutService(svc *clusterpb.Service) *raftpb.Change {
	return state.PutService(&raftpb.PutService{
		Id: svc.GetId(), Version: svc.GetVersion(), Spec: svc.GetSpec(), Ports: svc.GetPorts(),
		Images: svc.GetImages(), Restarts: svc.GetRestarts(),
	})
}
