package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	// maxRedirects bounds how many managers in a row may point elsewhere.
	maxRedirects = 3
	// retryMin and retryMax bound the wait between rounds over all managers.
	// A new leader waits two leases (6 s) before it takes a silent node for
	// lost, so the longest wait with its jitter must stay well below that.
	retryMin, retryMax = 100 * time.Millisecond, 2 * time.Second
)

// Run keeps a session open until ctx is done. It returns nil then, after the
// good-bye of a node that had a session is recorded, or farewellTimeout.
func Run(ctx context.Context, cfg Config) error {
	t := newTaker(cfg.Handler)
	var taking sync.WaitGroup
	taking.Go(func() { t.run(ctx) })
	defer taking.Wait()
	retry := backoff.NewExponentialBackOff()
	retry.InitialInterval, retry.Multiplier, retry.MaxInterval = retryMin, 2, retryMax
	silent := "" // the manager that did not answer last
	told := ""   // the last reason logged
	known := false
	for ctx.Err() == nil {
		// A round: every manager once, until one takes the session.
		registered := false
		for _, addr := range order(cfg.Local, silent, cfg.Managers()) {
			ok, last, err := follow(ctx, cfg, t, addr)
			known = known || ok
			if ctx.Err() != nil {
				if known && err != nil {
					farewell(ctx, cfg, t)
				}
				return nil
			}
			registered = registered || ok
			level := slog.LevelDebug
			if !errors.As(err, &redirected{}) {
				silent = last
				if reason := fmt.Sprint(err); reason != told { // not the same again
					told, level = reason, slog.LevelInfo
				}
			}
			cfg.Log.Log(ctx, level, "session ended", "addr", addr, "err", err)
			if ok {
				break // the managers may be others now
			}
		}
		if registered {
			retry.Reset()
		}
		select {
		case <-ctx.Done():
		case <-time.After(retry.NextBackOff()):
		}
	}
	if known {
		farewell(ctx, cfg, t)
	}
	return nil
}

// farewellTimeout bounds how long a stop looks for a manager that records the
// good-bye.
const farewellTimeout = 2 * time.Second

// farewell says good-bye to whoever leads now, as the manager that the session
// was with resigns, falls silent or is gone: a node that is not known to be
// away for a moment is taken for lost.
func farewell(ctx context.Context, cfg Config, t *taker) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewellTimeout)
	defer cancel()
	cfg.leaving = true
	for ctx.Err() == nil {
		for _, addr := range order(cfg.Local, "", cfg.Managers()) {
			_, _, err := follow(ctx, cfg, t, addr)
			if err == nil {
				return
			}
			cfg.Log.Debug("good-bye not recorded", "addr", addr, "err", err)
			if ctx.Err() != nil {
				break
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryMin):
		}
	}
	cfg.Log.Warn("no manager has recorded that this daemon stops: it may be taken for lost", "within", farewellTimeout)
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

// redirected is the error of a manager that does not lead.
type redirected struct{ leader string }

func (e redirected) Error() string {
	if e.leader == "" {
		return "there is no leader now"
	}
	return "another manager leads: " + e.leader
}

// follow runs a session with the manager at addr or the one it points to. ok
// tells whether a manager accepted it, last which one ended it.
func follow(ctx context.Context, cfg Config, t *taker, addr string) (ok bool, last string, err error) {
	for range maxRedirects {
		last = addr
		c := &connection{cfg: cfg, taker: t, addr: addr}
		err = c.run(ctx)
		if c.registered {
			ok = true
		}
		var r redirected
		if !errors.As(err, &r) || r.leader == "" || r.leader == addr {
			return ok, last, err
		}
		addr = r.leader
	}
	return ok, last, err
}
