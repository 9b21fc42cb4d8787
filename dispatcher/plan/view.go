package plan

import (
	"iter"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// View is one immutable state of the cluster, as plans are made of it. The
// objects it hands out are never changed.
type View interface {
	Cluster() *clusterpb.Cluster
	Secrets() *clusterpb.ClusterSecrets
	Networks() iter.Seq[*clusterpb.Network]
	Nodes() iter.Seq[*clusterpb.Node]
	Node(id string) (*clusterpb.Node, bool)
	Services() iter.Seq[*clusterpb.Service]
	Service(id string) (*clusterpb.Service, bool)
	Tasks() iter.Seq[*clusterpb.Task]
	TasksOf(serviceID string) iter.Seq[*clusterpb.Task]
	TasksOn(nodeID string) iter.Seq[*clusterpb.Task]
}
