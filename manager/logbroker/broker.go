package logbroker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster/muster/proto/call"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/id"
	"github.com/muster/muster/raftstore"
	"github.com/muster/muster/raftstore/state"

	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	logspb "github.com/muster/muster/proto/logs/v1"
)

// Store is what the broker needs of the replicated state.
type Store interface {
	State() *state.State
	Subscribe() *raftstore.Subscription
	IsLeader() bool
}

// Nodes passes subscriptions to nodes; dispatcher.Server implements it.
type Nodes interface {
	// SubscribeLogs is Unavailable when the node is not connected.
	SubscribeLogs(nodeID string, sub *dispatchpb.LogSubscription) error
}

// Config is what a Broker needs.
type Config struct {
	Store Store
	Nodes Nodes
	Log   *slog.Logger
}

// Broker serves LogService for clients and LogsService for workers on the
// leader.
type Broker struct {
	controlpb.UnimplementedLogServiceServer
	logspb.UnimplementedLogsServiceServer

	cfg Config

	mu   sync.Mutex
	subs map[string]*subscription
}

// New returns a broker without subscriptions.
func New(cfg Config) *Broker {
	return &Broker{cfg: cfg, subs: make(map[string]*subscription)}
}

// SubscribeLogs implements LogService.
func (b *Broker) SubscribeLogs(req *controlpb.SubscribeLogsRequest, stream grpc.ServerStreamingServer[controlpb.SubscribeLogsResponse]) error {
	// Changes are collected from before the first look at the state.
	changes := b.cfg.Store.Subscribe()
	defer changes.Close()
	if err := check(b.cfg.Store.State(), req); err != nil {
		return err
	}
	s := newSubscription(id.New(), req, b.cfg.Nodes)
	b.mu.Lock()
	b.subs[s.id] = s
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		delete(b.subs, s.id)
		b.mu.Unlock()
		s.end()
	}()
	return s.run(stream.Context(), b.cfg.Store, changes, stream.Send)
}

// check refuses names that do not exist, and a request for nothing.
func check(st *state.State, req *controlpb.SubscribeLogsRequest) error {
	if err := id.Few("services", req.GetServiceIds()); err != nil {
		return err
	}
	if err := id.Few("tasks", req.GetTaskIds()); err != nil {
		return err
	}
	for _, svc := range req.GetServiceIds() {
		if _, ok := st.Service(svc); !ok {
			return fmt.Errorf("service %s: %w", svc, errdefs.ErrNotFound)
		}
	}
	for _, t := range req.GetTaskIds() {
		if _, ok := st.Task(t); !ok {
			return fmt.Errorf("task %s: %w", t, errdefs.ErrNotFound)
		}
	}
	if len(req.GetServiceIds())+len(req.GetTaskIds()) == 0 {
		return fmt.Errorf("logs of which services or tasks? none were named: %w", errdefs.ErrInvalidArgument)
	}
	return checkTimes(req.GetOptions())
}

// checkTimes refuses times that are none, and those between which no line can be.
func checkTimes(o *logspb.LogOptions) error {
	for _, t := range []struct {
		name string
		*timestamppb.Timestamp
	}{{"since", o.GetSince()}, {"until", o.GetUntil()}} {
		if err := t.CheckValid(); t.Timestamp != nil && err != nil {
			return fmt.Errorf("%s: %w: %w", t.name, err, errdefs.ErrInvalidArgument)
		}
	}
	since, until := o.GetSince().AsTime(), o.GetUntil().AsTime()
	if o.GetSince() != nil && o.GetUntil() != nil && since.After(until) {
		return fmt.Errorf("no line is since %s and until %s: since must not be later than until: %w",
			since.Format(time.RFC3339Nano), until.Format(time.RFC3339Nano), errdefs.ErrInvalidArgument)
	}
	return nil
}

// PublishLogs implements LogsService.
func (b *Broker) PublishLogs(stream grpc.ClientStreamingServer[logspb.PublishLogsRequest, logspb.PublishLogsResponse]) error {
	ctx := stream.Context()
	nodeID, err := call.Node(ctx)
	if err != nil {
		return fmt.Errorf("identify node: %w", err)
	}
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	b.mu.Lock()
	s := b.subs[first.GetSubscriptionId()]
	b.mu.Unlock()
	if s == nil {
		return fmt.Errorf("log subscription %s has ended: %w", first.GetSubscriptionId(), errdefs.ErrNotFound)
	}
	opened, ok := s.open(nodeID)
	if !ok {
		return fmt.Errorf("node %s was not asked for log subscription %s: %w", nodeID, s.id, errdefs.ErrPermissionDenied)
	}
	err = receive(ctx, s, nodeID, opened, first, stream.Recv)
	s.closed(nodeID, opened, err == nil)
	if err != nil {
		return err
	}
	return stream.SendAndClose(&logspb.PublishLogsResponse{})
}

// receive passes a node's messages on until it has sent all.
func receive(ctx context.Context, s *subscription, nodeID string, a *answer, req *logspb.PublishLogsRequest, recv func() (*logspb.PublishLogsRequest, error)) error {
	for {
		if err := s.put(ctx, nodeID, a, req); err != nil {
			return err
		}
		next, err := recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		req = next
	}
}
