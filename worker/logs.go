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

// logPublisher answers log subscriptions of the manager.
type logPublisher struct {
	cfg Config
	log *slog.Logger

	mu      sync.Mutex
	session context.Context // done when the session ends; nil before the first
	conn    grpc.ClientConnInterface
	cancels map[string]context.CancelFunc // by subscription, of this session
	ctxs    map[string]context.Context
	closed  bool
	wg      sync.WaitGroup
}

func newLogPublisher(cfg Config) *logPublisher { return &logPublisher{cfg: cfg, log: cfg.Log} }

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
	for _, cancel := range p.cancels {
		cancel()
	}
	p.cancels, p.ctxs = make(map[string]context.CancelFunc), make(map[string]context.Context)
}

// connected starts anew with another manager: it knows nothing of earlier
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
	if sub.GetClose() {
		if cancel := p.cancels[id]; cancel != nil {
			cancel()
			delete(p.cancels, id)
			delete(p.ctxs, id)
		}
		return
	}
	if p.ctxs[id] == nil {
		p.ctxs[id], p.cancels[id] = context.WithCancel(p.session)
	}
	ctx, conn := p.ctxs[id], p.conn
	p.wg.Go(func() {
		if err := p.publish(ctx, conn, sub); err != nil && ctx.Err() == nil {
			p.log.WarnContext(ctx, "publish logs", "subscription", id, "err", err)
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
	lines := make(chan *logspb.PublishLogsRequest, logQueue)
	var readers sync.WaitGroup
	for _, id := range sub.GetTaskIds() {
		readers.Go(func() { p.read(ctx, id, sub.GetOptions(), lines) })
	}
	go func() { readers.Wait(); close(lines) }()
	// Every reader ends with ctx, so draining lines is waiting for them.
	defer func() {
		cancel()
		for range lines { // nothing to do with what nobody wants
		}
	}()
	for req := range lines {
		req.SubscriptionId = sub.GetId()
		for size := proto.Size(req); size < logBatch && req.GetErr() == ""; {
			next, ok := more(lines)
			if !ok {
				break
			}
			size += proto.Size(next)
			req.Messages = append(req.GetMessages(), next.GetMessages()...)
			req.Err = next.GetErr()
		}
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
	if p.cfg.Logs != nil {
		err = p.cfg.Logs.Read(ctx, taskID, opts, func(m *logspb.LogMessage) error {
			m.NodeId = p.cfg.NodeID
			return put(&logspb.PublishLogsRequest{Messages: []*logspb.LogMessage{m}})
		})
	}
	if err != nil && ctx.Err() == nil {
		_ = put(&logspb.PublishLogsRequest{Err: fmt.Sprintf("task %s: %v", taskID, err)})
	}
}
