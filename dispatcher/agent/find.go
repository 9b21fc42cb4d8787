package agent

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// retryMin and retryMax are how often all managers are tried, but for jitter of
// a half. A new leader waits two leases (6 s) before it takes a silent node for
// lost, so that managers are tried twice in that time, whichever of them are gone.
const retryMin, retryMax = 100 * time.Millisecond, 2 * time.Second

// Run keeps a session open until ctx is done. It returns nil then, after the
// good-bye of a node that had a session is recorded, or farewellTimeout.
func Run(ctx context.Context, cfg Config) error {
	t := newTaker(cfg.Handler)
	var taking sync.WaitGroup
	taking.Go(func() { t.run(ctx) })
	defer taking.Wait()
	retry := backoff.NewExponentialBackOff()
	retry.InitialInterval, retry.Multiplier, retry.MaxInterval = retryMin, 2, retryMax
	f := &finder{cfg: cfg, taker: t, told: make(map[string]string)}
	known := false
	for ctx.Err() == nil {
		began := time.Now()
		ok, err := f.round(ctx)
		known = known || ok
		if ctx.Err() != nil && err == nil {
			return nil // said good-bye
		}
		if ok {
			retry.Reset()
			began = time.Now()
		}
		select {
		case <-ctx.Done():
		case <-time.After(max(retryMin, retry.NextBackOff()-time.Since(began))):
		}
	}
	if known {
		farewell(ctx, f)
	}
	return nil
}

// farewellTimeout bounds how long a stop looks for a manager that records the
// good-bye.
const farewellTimeout = 2 * time.Second

// farewell says good-bye to whoever leads now, as the manager that the session
// was with resigns, falls silent or is gone: a node that is not known to be
// away for a moment is taken for lost.
func farewell(ctx context.Context, f *finder) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewellTimeout)
	defer cancel()
	f.cfg.leaving = true
	for ctx.Err() == nil {
		if _, err := f.round(ctx); err == nil {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryMin):
		}
	}
	f.cfg.Log.Warn("no manager has recorded that this daemon stops: it may be taken for lost", "within", farewellTimeout)
}

// order returns the managers to try: the local one, then the others shuffled,
// and last the one that did not answer: trying it takes the time in which the
// others could have been told that this node lives.
func order(local, silent string, managers []string) []string {
	others := slices.Clone(managers)
	rand.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] }) //nolint:gosec // spreads load, hides nothing
	if i := slices.Index(others, silent); i >= 0 {
		others = append(slices.Delete(others, i, i+1), silent)
	}
	if local == "" {
		return others
	}
	others = slices.DeleteFunc(others, func(a string) bool { return a == local })
	return append([]string{local}, others...)
}
