package worker

import (
	"context"
	"log/slog"
	"net/netip"

	"google.golang.org/grpc"

	"github.com/muster/muster/ingress"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	logspb "github.com/muster/muster/proto/logs/v1"
	"github.com/muster/muster/proto/port"
	"github.com/muster/muster/worker/executor"
	"github.com/muster/muster/worker/state"
)

// Plane is the node's data plane; ingress.Plane implements it. It must call
// [Worker.Applied] with the index of each Want the kernel holds.
type Plane interface {
	Set(w *ingress.Want)
	Connections(ctx context.Context, addrs []netip.Addr) (int, error)
	Silent(ctx context.Context, taskID string, ports []uint16) ([]uint16, error)
}

// Images is the node's image store.
type Images interface {
	// Held returns the images the node holds.
	Held(ctx context.Context) ([]*clusterpb.NodeImage, error)
	// Changed tells its one reader that Held may return something else.
	Changed() <-chan struct{}
	// Order tells which images managers want the node to hold; Run does so until
	// ctx is done.
	Order(o *dispatchpb.ImageOrders)
	Run(ctx context.Context) error
}

// Logs are the logs of the node's tasks; tasklog.Reader implements it.
type Logs interface {
	// Read calls emit for each message of a task's log that opts ask for, oldest
	// first, and returns nil after the last. An error of emit ends the reading.
	Read(ctx context.Context, taskID string, opts *logspb.LogOptions, emit func(*logspb.LogMessage) error) error
}

// Config is what a Worker needs. Fields are required unless they say otherwise.
type Config struct {
	NodeID   string
	Executor executor.Executor
	// State is the node's memory; the caller closes it after Run.
	State *state.DB
	Plane Plane
	// Images may be nil: then the node offers none to others.
	Images Images
	// Logs are the logs of the node's tasks; nil when it keeps none.
	Logs Logs

	// Managers are control addresses, HOST:PORT, to try beside those the
	// cluster told. Local is the one of this node's own manager, or "".
	Managers []string
	Local    string
	Dial     func(ctx context.Context, addr string) (*grpc.ClientConn, error)
	// Own are the ports on which the node listens for the cluster, but for that of
	// the traffic between nodes, which managers tell.
	Own []port.Key
	// Describe returns what the node tells about itself. DataAddr must be set.
	Describe func(ctx context.Context) (*clusterpb.NodeDescription, error)
	// Troubles tell that Describe may return other troubles; nil if it never does.
	Troubles <-chan struct{}
	// Heard is called with the cluster's settings and the other nodes, at the
	// start with those remembered and whenever managers sent any. It must not
	// block. It may be nil.
	Heard func(settings *dispatchpb.Settings, peers []*dispatchpb.Peer)
	Log   *slog.Logger
}
