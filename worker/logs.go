package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc"

	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/logmerge"
	logspb "github.com/muster/muster/proto/logs/v1"
)

const (
	// logWindow is how long a line that is followed waits for earlier ones of
	// other tasks of this node.
	logWindow = 100 * time.Millisecond
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
	all := p.readAll(ctx, sub)
	defer func() { cancel(); all.readers.Wait() }()
	if err := all.pass(ctx, func(req *logspb.PublishLogsRequest) error {
		req.SubscriptionId = sub.GetId()
		return stream.Send(req)
	}); err != nil {
		return ended(stream, err)
	}
	if err := ctx.Err(); err != nil {
		return err // the readers were stopped: an end of the stream would say that nothing more comes
	}
	_, err = stream.CloseAndRecv()
	return err
}

// taskLogs are the logs of several tasks, read all at the same time.
type taskLogs struct {
	merge   *logmerge.Merge
	failed  chan string // why a task's logs cannot be read
	readers sync.WaitGroup
}

// readAll reads the logs of a subscription's tasks until all are read or ctx is
// done.
func (p *logPublisher) readAll(ctx context.Context, sub *dispatchpb.LogSubscription) *taskLogs {
	r := &taskLogs{merge: logmerge.New(0), failed: make(chan string, len(sub.GetTaskIds()))}
	if sub.GetOptions().GetFollow() {
		r.merge = logmerge.New(logWindow)
	}
	for _, id := range sub.GetTaskIds() {
		source := r.merge.Join()
		r.readers.Go(func() {
			// After the error: when all sources have ended, all errors are there.
			defer source.Close()
			if err := p.read(ctx, id, sub.GetOptions(), source); err != nil && ctx.Err() == nil {
				r.failed <- fmt.Sprintf("task %s: %v", id, err)
			}
		})
	}
	return r
}

// pass sends lines in order of time, until all are read or ctx is done.
func (r *taskLogs) pass(ctx context.Context, send func(*logspb.PublishLogsRequest) error) error {
	for ctx.Err() == nil {
		done := r.merge.Done()
		for len(r.failed) > 0 {
			if err := send(&logspb.PublishLogsRequest{Err: <-r.failed}); err != nil {
				return err
			}
		}
		if done {
			return nil
		}
		lines, wait := r.merge.Take(time.Now())
		if len(lines) > 0 {
			if err := send(&logspb.PublishLogsRequest{Messages: lines}); err != nil {
				return err
			}
			continue
		}
		select {
		case <-r.merge.Changed():
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
	return nil
}

// ended returns why a stream ended: Send only says that it did.
func ended(stream logspb.LogsService_PublishLogsClient, err error) error {
	if _, why := stream.CloseAndRecv(); why != nil {
		return why
	}
	return err
}

// read passes one task's logs on; it waits when they are not sent as fast.
func (p *logPublisher) read(ctx context.Context, taskID string, opts *logspb.LogOptions, source *logmerge.Source) error {
	if p.logs == nil {
		return errNoLogs
	}
	return p.logs.Read(ctx, taskID, opts, func(m *logspb.LogMessage) error {
		m.NodeId = p.nodeID
		return source.Put(ctx, m)
	})
}
