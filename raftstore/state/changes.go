package state

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
)

// PutCluster creates the cluster when c.Version is 0, or replaces that version.
func PutCluster(c *clusterpb.Cluster) *raftpb.Change {
	return &raftpb.Change{Kind: &raftpb.Change_PutCluster{PutCluster: &raftpb.PutCluster{Cluster: c}}}
}

// PutClusterSecrets creates the secrets when s.Version is 0, or replaces that
// version.
func PutClusterSecrets(s *clusterpb.ClusterSecrets) *raftpb.Change {
	return &raftpb.Change{Kind: &raftpb.Change_PutClusterSecrets{PutClusterSecrets: &raftpb.PutClusterSecrets{Secrets: s}}}
}

// PutService creates the service when s.Version is 0, or replaces the spec of
// that version. Of s only id, version, spec, ports and update are read:
// ports may name published ports for those that spec leaves open, and update,
// at version 0, may say how the rollout starts, for one that it is a rollback.
func PutService(s *clusterpb.Service) *raftpb.Change {
	return &raftpb.Change{Kind: &raftpb.Change_PutService{PutService: &raftpb.PutService{Service: s}}}
}

// DeleteService removes a service and leaves its tasks.
func DeleteService(id string) *raftpb.Change {
	return &raftpb.Change{Kind: &raftpb.Change_DeleteService{DeleteService: &raftpb.DeleteService{Id: id}}}
}

// SetUpdateStatus records the progress of the rollout of one spec_version.
// A status cloned from the service's carries the version it was made from and
// is a conflict when another has been written since; version 0 overwrites.
func SetUpdateStatus(serviceID string, specVersion uint64, status *clusterpb.UpdateStatus) *raftpb.Change {
	return setUpdateStatus(&raftpb.SetUpdateStatus{ServiceId: serviceID, SpecVersion: specVersion, Status: status})
}

// RollBack is SetUpdateStatus that also replaces the spec, by which
// spec_version moves. When a port of that spec was given away meanwhile, the
// rollout is paused instead and its message says so.
func RollBack(serviceID string, specVersion uint64, status *clusterpb.UpdateStatus, spec *clusterpb.ServiceSpec) *raftpb.Change {
	return setUpdateStatus(&raftpb.SetUpdateStatus{ServiceId: serviceID, SpecVersion: specVersion, Status: status, Spec: spec})
}

func setUpdateStatus(u *raftpb.SetUpdateStatus) *raftpb.Change {
	return &raftpb.Change{Kind: &raftpb.Change_SetUpdateStatus{SetUpdateStatus: u}}
}

// CreateTask adds a task, in state NEW unless t has another.
func CreateTask(t *clusterpb.Task) *raftpb.Change {
	return &raftpb.Change{Kind: &raftpb.Change_CreateTask{CreateTask: &raftpb.CreateTask{Task: t}}}
}

// AssignTask places a task that has no node.
func AssignTask(id, nodeID string, addresses []string) *raftpb.Change {
	return &raftpb.Change{Kind: &raftpb.Change_AssignTask{
		AssignTask: &raftpb.AssignTask{Id: id, NodeId: nodeID, Addresses: addresses},
	}}
}

// SetDesired raises the desired state of a task.
func SetDesired(id string, desired clusterpb.TaskState) *raftpb.Change {
	return &raftpb.Change{Kind: &raftpb.Change_SetDesired{SetDesired: &raftpb.SetDesired{Id: id, Desired: desired}}}
}

// ObserveTask records what was seen of a task; status replaces the one known.
func ObserveTask(id string, status *clusterpb.TaskStatus) *raftpb.Change {
	return &raftpb.Change{Kind: &raftpb.Change_ObserveTask{ObserveTask: &raftpb.ObserveTask{Id: id, Status: status}}}
}

// DeleteTask removes a task.
func DeleteTask(id string) *raftpb.Change {
	return &raftpb.Change{Kind: &raftpb.Change_DeleteTask{DeleteTask: &raftpb.DeleteTask{Id: id}}}
}

// PutNode creates the node when n.Version is 0, or replaces spec, role and
// raft_addr of that version.
func PutNode(n *clusterpb.Node) *raftpb.Change {
	return &raftpb.Change{Kind: &raftpb.Change_PutNode{PutNode: &raftpb.PutNode{Node: n}}}
}

// ObserveNode records what was seen of a node; unset fields stay.
func ObserveNode(o *raftpb.ObserveNode) *raftpb.Change {
	return &raftpb.Change{Kind: &raftpb.Change_ObserveNode{ObserveNode: o}}
}

// DeleteNode removes a node, bars its certificate until it expires, and
// orphans its tasks.
func DeleteNode(id string, expiresAt *timestamppb.Timestamp) *raftpb.Change {
	return &raftpb.Change{Kind: &raftpb.Change_DeleteNode{DeleteNode: &raftpb.DeleteNode{Id: id, ExpiresAt: expiresAt}}}
}
