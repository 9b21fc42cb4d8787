package images

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
)

const (
	// keepUnneeded is how long content stays of which managers say that nobody
	// names it: who removes a service may soon want it again.
	keepUnneeded = time.Hour
	// keeperPeriod is how often the node looks whether something may go.
	keeperPeriod = 10 * time.Minute
	// copies that fail are tried again after firstRetry, later and later up to
	// lastRetry.
	firstRetry, lastRetry = 15 * time.Second, 10 * time.Minute
)

// keeper carries out what managers order beside the images of tasks: it fetches
// copies, and drops what nobody needs.
type keeper struct {
	shelf shelf
	log   *slog.Logger
	due   chan struct{}

	mu     sync.Mutex
	orders *dispatchpb.ImageOrders // nil before any came

	// Of the one who runs it:
	retries map[digest.Digest]retry
	idle    map[digest.Digest]time.Time // since when nobody needs it
}

// shelf is the part of the Store that the keeper works on.
type shelf interface {
	// copy fetches content from other nodes, if it is not here.
	copy(ctx context.Context, name string, source Source) error
	// spare returns the content that no user of this node named and no container
	// uses.
	spare(ctx context.Context) ([]digest.Digest, error)
	// discard drops all records of content.
	discard(ctx context.Context, content digest.Digest) error
}

type retry struct {
	at    time.Time
	delay time.Duration
}

func newKeeper(s shelf, log *slog.Logger) *keeper {
	return &keeper{
		shelf: s, log: log, due: make(chan struct{}, 1),
		retries: make(map[digest.Digest]retry), idle: make(map[digest.Digest]time.Time),
	}
}

// order replaces the orders.
func (k *keeper) order(o *dispatchpb.ImageOrders) {
	k.mu.Lock()
	k.orders = o
	k.mu.Unlock()
	select {
	case k.due <- struct{}{}:
	default:
	}
}

func (k *keeper) ordered() *dispatchpb.ImageOrders {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.orders
}

// run carries out orders until ctx is done. Then nobody orders any more.
func (k *keeper) run(ctx context.Context) error {
	defer k.order(nil)
	wait := time.NewTimer(keeperPeriod)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-k.due:
		case <-wait.C:
		}
		next := keeperPeriod
		if o := k.ordered(); o != nil {
			next = min(next, k.fetch(ctx, o.GetFetch()))
			next = min(next, k.tidy(ctx, o.GetKeep()))
		}
		wait.Reset(next)
	}
}

// fetch brings what is ordered, one after the other, and returns when to try
// again what did not come.
func (k *keeper) fetch(ctx context.Context, orders []*dispatchpb.ImageSource) (next time.Duration) {
	next = keeperPeriod
	wanted := make(map[digest.Digest]retry)
	for _, o := range orders {
		source := Source{Digest: digest.Digest(o.GetDigest()), Addrs: o.GetAddrs(), Loaded: o.GetLoaded()}
		r := k.retries[source.Digest]
		if wait := time.Until(r.at); wait > 0 {
			wanted[source.Digest] = r
			next = min(next, wait)
			continue
		}
		err := k.shelf.copy(ctx, o.GetImage(), source)
		if err == nil || ctx.Err() != nil {
			continue
		}
		r.delay = min(max(2*r.delay, firstRetry), lastRetry)
		r.at = time.Now().Add(r.delay)
		wanted[source.Digest] = r
		next = min(next, r.delay)
		k.log.WarnContext(ctx, "a copy of an image that this node should hold cannot be fetched",
			"image", o.GetImage(), "again_in", r.delay, "err", err)
	}
	k.retries = wanted
	return next
}

// tidy drops what has been needed by nobody for long, and returns when the next
// may go.
func (k *keeper) tidy(ctx context.Context, keep []string) (next time.Duration) {
	next = keeperPeriod
	spare, err := k.shelf.spare(ctx)
	if err != nil {
		k.log.WarnContext(ctx, "images cannot be tidied up", "err", err)
		return next
	}
	idle := make(map[digest.Digest]time.Time)
	for _, content := range spare {
		if slices.Contains(keep, content.String()) {
			continue
		}
		since, known := k.idle[content]
		if !known {
			since = time.Now()
		}
		left := keepUnneeded - time.Since(since)
		if left > 0 {
			idle[content] = since
			next = min(next, left)
			continue
		}
		if err := k.shelf.discard(ctx, content); err != nil {
			k.log.WarnContext(ctx, "an image that nobody needs cannot be removed", "digest", content, "err", err)
			continue
		}
		k.log.InfoContext(ctx, "removed an image that nobody needs", "digest", content)
	}
	k.idle = idle
	return next
}
