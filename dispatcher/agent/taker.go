package agent

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"

	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
)

// maxBehind is how many assignments may wait for a handler. A node that is
// further behind is better told everything anew.
const maxBehind = 16

// taker hands assignments to the handler in order and in a goroutine of its own,
// which outlives sessions: a handler that waits for a disk must not keep the
// node from telling that it lives, nor from finding the next leader.
type taker struct {
	handler Handler
	work    chan taken
}

// taken is assignments, and where to say that the handler could not take them.
type taken struct {
	assignments *dispatchpb.Assignments // nil: nothing but a sign that it is free
	failed      chan<- error
	over        <-chan struct{} // closed with the session: the next one says all again
}

func newTaker(h Handler) *taker { return &taker{handler: h, work: make(chan taken)} }

// run takes assignments until ctx is done.
func (t *taker) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case w := <-t.work:
			t.take(w)
		}
	}
}

func (t *taker) take(w taken) {
	select {
	case <-w.over:
		return
	default:
	}
	if w.assignments == nil {
		return
	}
	if err := t.handler.Assignments(w.assignments); err != nil {
		w.failed <- err
	}
}

// backlog is what one session has for the taker.
type backlog struct {
	taker   *taker
	queue   []*dispatchpb.Assignments
	overrun bool       // too much came: nothing of it is kept
	failed  chan error // has room for whatever the taker may still hold
	over    chan struct{}
}

func newBacklog(t *taker) *backlog {
	return &backlog{taker: t, failed: make(chan error, maxBehind+1), over: make(chan struct{})}
}

func (b *backlog) put(a *dispatchpb.Assignments) {
	if b.overrun = b.overrun || len(b.queue) >= maxBehind; b.overrun {
		b.queue = nil
		return
	}
	b.queue = append(b.queue, a)
}

// next returns what to hand over and where; nowhere when there is nothing.
func (b *backlog) next() (work chan<- taken, w taken) {
	w = taken{failed: b.failed, over: b.over}
	if len(b.queue) > 0 {
		w.assignments = b.queue[0]
	} else if !b.overrun {
		return nil, w
	}
	return b.taker.work, w
}

// shift notes that what next returned was handed over.
func (b *backlog) shift() error {
	if b.overrun {
		return fmt.Errorf("this node was too slow for what it was told, and is told everything anew: %w", errdefs.ErrUnavailable)
	}
	b.queue = b.queue[1:]
	return nil
}
