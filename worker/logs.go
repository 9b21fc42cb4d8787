package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	logspb "github.com/muster/muster/proto/logs/v1"
)

const (
	// logBatch is how many bytes of logs go into one message.
	logBatch = 64 << 10
	// logQueue is how many lines wait to be sent; then readers wait.
	logQueue = 256
)

var errNoLogs = errors.New("this node keeps no logs")

// logPublisher answers the log subscriptions of the manager that the node has
// a session with.
type logPublisher struct {
	nodeID string
	logs   Logs // nil when the node keeps none
	log    *slog.Logger

	mu      sync.Mutex
	session context.Context //nolint:containedctx // of many calls: done when the session ends; nil before the first
	conn    grpc.ClientConnInterface
	subs    map[string]logSubscription // of this session, by id
	closed  bool
	wg      sync.WaitGroup
}

// logSubscription is one that may be extended; its streams end with ctx.
type logSubscription struct {
	ctx    context.Context //nolint:containedctx // a later message adds streams to it
	cancel context.CancelFunc
}

func newLogPublisher(cfg Config) *logPublisher {
	return &logPublisher{nodeID: cfg.NodeID, logs: cfg.Logs, log: cfg.Log}
}

// run ends all publishing when ctx is done.
func (p *logPublisher) run(ctx context.Context) error {
	<-ctx.Done()
	p.mu.Lock()
	p.closed = true
	p.cancelAll()
	p.mu.Unlock()
	p.wg.Wait()
	return nil
}

func (p *logPublisher) cancelAll() {
	for _, s := range p.subs {
		s.cancel()
	}
	p.subs = make(map[string]logSubscription)
}

// connected starts anew with another manager, which knows nothing of earlier
// subscriptions.
func (p *logPublisher) connected(ctx context.Context, conn grpc.ClientConnInterface) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cancelAll()
	p.session, p.conn = ctx, conn
}

// take starts, extends or ends a subscription. Each message with tasks is
// answered by one stream.
func (p *logPublisher) take(sub *dispatchpb.LogSubscription) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.session == nil {
		return
	}
	id := sub.GetId()
	s, known := p.subs[id]
	switch {
	case sub.GetClose() && known:
		s.cancel()
		delete(p.subs, id)
		return
	case sub.GetClose():
		return
	case !known:
		s.ctx, s.cancel = context.WithCancel(p.session)
		p.subs[id] = s
	}
	conn := p.conn
	p.wg.Go(func() {
		if err := p.publish(s.ctx, conn, sub); err != nil && s.ctx.Err() == nil {
			p.log.WarnContext(s.ctx, "publish logs", "subscription", id, "err", err)
		}
	})
}

// publish sends the logs of a subscription's tasks in one stream.
func (p *logPublisher) publish(ctx context.Context, conn grpc.ClientConnInterface, sub *dispatchpb.LogSubscription) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := logspb.NewLogsServiceClient(conn).PublishLogs(ctx)
	if err != nil {
		return fmt.Errorf("open stream: %w", err)
	}
	// The manager must know of the stream even when there is nothing to read.
	if err := stream.Send(&logspb.PublishLogsRequest{SubscriptionId: sub.GetId()}); err != nil {
		return ended(stream, err)
	}
	lines := p.readAll(ctx, sub)
	defer func() {
		// The readers end with ctx, and lines is closed after the last of them.
		cancel()
		for range lines {
			continue
		}
	}()
	for req := range lines {
		gather(req, lines)
		req.SubscriptionId = sub.GetId()
		if err := stream.Send(req); err != nil {
			return ended(stream, err)
		}
	}
	if err := ctx.Err(); err != nil {
		return err // the readers were stopped: an end of the stream would say that nothing more comes
	}
	_, err = stream.CloseAndRecv()
	return err
}

// readAll reads the logs of a subscription's tasks, all at the same time. The
// channel is closed once all are read or ctx is done.
func (p *logPublisher) readAll(ctx context.Context, sub *dispatchpb.LogSubscription) <-chan *logspb.PublishLogsRequest {
	lines := make(chan *logspb.PublishLogsRequest, logQueue)
	var readers sync.WaitGroup
	for _, id := range sub.GetTaskIds() {
		readers.Go(func() { p.read(ctx, id, sub.GetOptions(), lines) })
	}
	go func() { readers.Wait(); close(lines) }()
	return lines
}

// gather adds to req what more lines there are right now, up to a size that is
// worth a message, and up to an error, of which a message has one.
func gather(req *logspb.PublishLogsRequest, lines <-chan *logspb.PublishLogsRequest) {
	for size := proto.Size(req); size < logBatch && req.GetErr() == ""; {
		next, ok := more(lines)
		if !ok {
			return
		}
		size += proto.Size(next)
		req.Messages = append(req.GetMessages(), next.GetMessages()...)
		req.Err = next.GetErr()
	}
}

// more returns a further request if there is one right now.
func more(lines <-chan *logspb.PublishLogsRequest) (*logspb.PublishLogsRequest, bool) {
	select {
	case next, ok := <-lines:
		return next, ok
	default:
		return nil, false
	}
}

// ended returns why a stream ended: Send only says that it did.
func ended(stream logspb.LogsService_PublishLogsClient, err error) error {
	if _, why := stream.CloseAndRecv(); why != nil {
		return why
	}
	return err
}

// read passes one task's logs on; it waits when they are not sent as fast.
func (p *logPublisher) read(ctx context.Context, taskID string, opts *logspb.LogOptions, lines chan<- *logspb.PublishLogsRequest) {
	put := func(req *logspb.PublishLogsRequest) error {
		select {
		case lines <- req:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	err := errNoLogs
	if p.logs != nil {
		err = p.logs.Read(ctx, taskID, opts, func(m *logspb.LogMessage) error {
			m.NodeId = p.nodeID
			return put(&logspb.PublishLogsRequest{Messages: []*logspb.LogMessage{m}})
		})
	}
	if err != nil && ctx.Err() == nil {
		_ = put(&logspb.PublishLogsRequest{Err: fmt.Sprintf("task %s: %v", taskID, err)})
	}
}
