// Package api is what users ask of a cluster, a package for each noun. A
// handler checks what is asked, decides on one change to the replicated state
// and names it; how a write is applied once (once), how objects are found
// (lookup), who may call (dispatcher/mtls, by the rules in the proto files) and
// how a call comes to the leader (manager/forward) are the same for all.
//
// It runs on the leader.
package api

import (
	"context"

	"google.golang.org/grpc"

	"github.com/muster/muster/manager/api/cluster"
	"github.com/muster/muster/manager/api/node"
	"github.com/muster/muster/manager/api/service"
	"github.com/muster/muster/manager/api/task"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/raftstore/state"
)

// Config is what the nouns need.
type Config struct {
	Store   service.Store
	Members node.Members
	Images  service.Images
	// Gossip tells what membership gossip says of each node, by node id.
	Gossip func() map[string]string
	// Preview returns what the orchestrators would do to each slot of svc if it
	// were next.
	Preview func(st *state.State, svc, next *clusterpb.Service) []*controlpb.PlannedSlot
	// LowWaterMark returns the lowest index of the state that the kernels of all
	// live nodes hold, and what is closed when it rises.
	LowWaterMark func() (mark uint64, risen <-chan struct{})
}

// API has a server for each noun.
type API struct {
	cluster *cluster.Server
	node    *node.Server
	service *service.Server
	task    *task.Server
}

// New returns the servers.
func New(c Config) *API {
	return &API{
		cluster: &cluster.Server{Store: c.Store, Members: c.Members},
		node:    &node.Server{Store: c.Store, Members: c.Members, Gossip: c.Gossip},
		service: &service.Server{Store: c.Store, Images: c.Images, Preview: c.Preview, LowWaterMark: c.LowWaterMark},
		task:    &task.Server{Store: c.Store},
	}
}

// Register registers every noun.
func (a *API) Register(r grpc.ServiceRegistrar) {
	controlpb.RegisterClusterServiceServer(r, a.cluster)
	controlpb.RegisterNodeServiceServer(r, a.node)
	controlpb.RegisterServiceServiceServer(r, a.service)
	controlpb.RegisterTaskServiceServer(r, a.task)
}

// Forget takes a node's vote, entry and certificate from it.
func (a *API) Forget(ctx context.Context, requestID string, n *clusterpb.Node) error {
	return a.node.Forget(ctx, requestID, n)
}
