package state

import (
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
)

// objects is all that a State holds. A kind of object has a line here and in
// the two functions below, and is described in its own file.
type objects struct {
	cluster  table[*clusterpb.Cluster]
	secrets  table[*clusterpb.ClusterSecrets]
	networks table[*clusterpb.Network]
	nodes    table[*clusterpb.Node]
	services table[*clusterpb.Service]
	tasks    table[*clusterpb.Task]
	requests table[*raftpb.AppliedRequest]
}

func newObjects() objects {
	return objects{
		cluster:  newTable(clusterKind()),
		secrets:  newTable(secretsKind()),
		networks: newTable(networkKind()),
		nodes:    newTable(nodeKind()),
		services: newTable(serviceKind()),
		tasks:    newTable(taskKind()),
		requests: newTable(requestKind()),
	}
}

// tables lists every table, in the order in which snapshots hold them: what
// refers to another comes after it.
func (o *objects) tables() []anyTable {
	return []anyTable{&o.cluster, &o.secrets, &o.networks, &o.nodes, &o.services, &o.tasks, &o.requests}
}
