package dispatcher

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"

	raftpb "github.com/muster/muster/proto/raft/v1"
)

// leaseLoop declares nodes down whose lease has ended.
func (t *term) leaseLoop(ctx context.Context) error {
	retry := newBackOff()
	expect := time.Now() // when the loop meant to look again
	for {
		now := time.Now()
		t.nodes.forgive(now.Sub(expect))
		next, err := t.expire(ctx, now)
		if err != nil {
			d := retry.NextBackOff()
			t.log.WarnContext(ctx, "declare nodes down: will retry", "in", d, "err", err)
			next = now.Add(d)
		} else {
			retry.Reset()
		}
		expect = next
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Until(next)):
		case <-t.nodes.leaseDue:
		}
	}
}

// expire declares down whom the leases say, and returns when to look again.
func (t *term) expire(ctx context.Context, now time.Time) (next time.Time, err error) {
	ids, silence, next := t.nodes.expired(now)
	if len(ids) == 0 {
		return next, nil
	}
	changes := make([]*raftpb.Change, 0, len(ids))
	for _, id := range ids {
		t.log.InfoContext(ctx, "node is down", "node", id)
		changes = append(changes, lost(id, silence, now))
	}
	t.statuses.drop(ids)
	ctx, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	if err := t.cfg.Store.Propose(ctx, changes...); err != nil {
		return next, err
	}
	t.nodes.lose(ids)
	return next, nil
}

// newBackOff returns the delays between retries towards raft.
func newBackOff() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.Multiplier, b.MaxInterval = 50*time.Millisecond, 2, time.Second
	return b
}
