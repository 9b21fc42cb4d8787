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
	timer := time.NewTimer(0)
	defer timer.Stop()
	expect := time.Now() // when the loop meant to look again
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-t.leaseDue:
		}
		now := time.Now()
		t.forgive(now.Sub(expect))
		next, err := t.expire(ctx, now)
		if err != nil {
			d := retry.NextBackOff()
			t.log.WarnContext(ctx, "declare nodes down: will retry", "in", d, "err", err)
			next = now.Add(d)
		} else {
			retry.Reset()
		}
		expect = next
		timer.Reset(time.Until(next))
	}
}

// forgive gives the nodes back what the leader itself missed: after a stop of
// the whole process, no heartbeat that arrived meanwhile has been counted.
func (t *term) forgive(late time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if late > t.leases.Period() {
		t.leases.Extend(late)
	}
}

// expire declares down whom the leases say, and returns when to look again.
func (t *term) expire(ctx context.Context, now time.Time) (next time.Time, err error) {
	t.mu.Lock()
	ids, next := t.leases.Expired(now)
	silence := t.leases.Silence()
	// Leases only move later but for what wakes this loop, so looking again no
	// later than in a lease is enough.
	if latest := now.Add(silence); next.IsZero() || next.After(latest) {
		next = latest
	}
	t.mu.Unlock()
	if len(ids) == 0 {
		return next, nil
	}

	changes := make([]*raftpb.Change, 0, len(ids))
	for _, id := range ids {
		t.log.InfoContext(ctx, "node is down", "node", id)
		changes = append(changes, lost(id, silence, now))
	}
	ctx, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	if err := t.cfg.Store.Propose(ctx, changes...); err != nil {
		return next, err
	}
	t.mu.Lock()
	for _, id := range ids {
		t.expel(id)
	}
	t.mu.Unlock()
	wake(t.lowWaterDue)
	return next, nil
}

// newBackOff returns the delays between retries towards raft.
func newBackOff() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.Multiplier, b.MaxInterval = 50*time.Millisecond, 2, time.Second
	return b
}
