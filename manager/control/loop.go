package control

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"

	raftpb "github.com/muster/muster/proto/raft/v1"
)

const (
	// maxChanges and maxBytes bound one command: beyond, a log entry delays
	// the heartbeats behind it.
	maxChanges = 200
	maxBytes   = 1 << 20

	minRetry = 100 * time.Millisecond
	maxRetry = 10 * time.Second

	// proposeTimeout bounds the wait for one commit.
	proposeTimeout = 30 * time.Second

	// A plan that took long is not made again before restFactor times as long
	// has passed, so that no controller keeps a processor busy.
	restFactor = 3
	longPlan   = 2 * time.Millisecond
)

// loop is the running state of one controller.
type loop struct {
	*Controller
	store  Store
	log    *slog.Logger
	agenda *agenda
	retry  map[string]time.Duration
	// refused keys were part of a command that was refused: they are proposed
	// alone, so that one of them cannot hold up the others for long.
	refused map[string]bool
}

func newLoop(c *Controller, store Store, log *slog.Logger) *loop {
	return &loop{
		Controller: c, store: store, log: log.With("controller", c.Name),
		agenda: newAgenda(), retry: make(map[string]time.Duration), refused: make(map[string]bool),
	}
}

// turn plans every key that is due and proposes what they need.
func (l *loop) turn(ctx context.Context) error {
	batch := new(batch)
	state := l.store.State()
	for _, key := range l.agenda.take(time.Now()) {
		if l.refused[key] {
			l.flush(ctx, batch)
			state = l.store.State()
		}
		began := time.Now()
		changes, again, err := l.plan(state, key, began)
		if err != nil {
			return err
		}
		if took := time.Since(began); took > longPlan {
			l.agenda.pause(key, time.Now().Add(restFactor*took))
		}
		if again > 0 {
			l.agenda.add(key, began.Add(again))
		}
		if len(changes) == 0 {
			l.settled(key)
			continue
		}
		batch.add(key, changes)
		if batch.full() || l.refused[key] {
			l.flush(ctx, batch)
			state = l.store.State()
		}
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was told to end
		}
	}
	l.flush(ctx, batch)
	return nil
}

// flush proposes a batch and empties it. What fails is due again after a back-off.
func (l *loop) flush(ctx context.Context, b *batch) {
	defer b.reset()
	for _, part := range b.parts() {
		err := l.propose(ctx, part)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			l.failed(ctx, b.keys, err)
			return
		}
	}
	for _, key := range b.keys {
		l.settled(key)
	}
}

func (l *loop) propose(ctx context.Context, changes []*raftpb.Change) error {
	ctx, cancel := context.WithTimeoutCause(ctx, proposeTimeout, fmt.Errorf("no commit within %s", proposeTimeout))
	defer cancel()
	return l.store.Propose(ctx, changes...)
}

func (l *loop) settled(key string) {
	delete(l.retry, key)
	delete(l.refused, key)
}

func (l *loop) failed(ctx context.Context, keys []string, err error) {
	refused := len(keys) > 1 && !errdefs.IsUnavailable(err) && !errdefs.IsDeadlineExceeded(err)
	for _, key := range keys {
		if refused {
			l.refused[key] = true
		}
		delay := min(max(2*l.retry[key], minRetry), maxRetry)
		l.retry[key] = delay
		l.agenda.add(key, time.Now().Add(delay))
		l.log.WarnContext(ctx, "will retry", "key", key, "in", delay, "err", err)
	}
}

// batch collects the changes of several keys.
type batch struct {
	keys    []string
	changes []*raftpb.Change
	bytes   int
}

func (b *batch) add(key string, changes []*raftpb.Change) {
	b.keys = append(b.keys, key)
	b.changes = append(b.changes, changes...)
	for _, c := range changes {
		b.bytes += proto.Size(c)
	}
}

func (b *batch) full() bool { return len(b.changes) >= maxChanges || b.bytes >= maxBytes }

func (b *batch) reset() { *b = batch{} }

// parts cuts the changes into commands of bounded size, in order.
func (b *batch) parts() (parts [][]*raftpb.Change) {
	start, size := 0, 0
	for i, c := range b.changes {
		n := proto.Size(c)
		if i > start && (i-start >= maxChanges || size+n > maxBytes) {
			parts = append(parts, b.changes[start:i])
			start, size = i, 0
		}
		size += n
	}
	if start < len(b.changes) {
		parts = append(parts, b.changes[start:])
	}
	return parts
}
