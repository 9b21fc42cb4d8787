package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

const (
	// stagger is how long a manager may take to connect before the next one is
	// tried beside it (RFC 8305, 5): what is gone must not keep a node from what
	// is there.
	stagger = 250 * time.Millisecond
	// maxRedirects bounds how many managers in a row may point elsewhere.
	maxRedirects = 3
)

// finder tries managers until one takes the session.
type finder struct {
	cfg   Config
	taker *taker

	silent string            // the manager that did not answer last
	told   map[string]string // the last reason logged, by manager
}

// attempt is how a connection to a manager came out.
type attempt struct {
	addr string
	line *line
	err  error
}

var errNoManager = errors.New("no manager is known")

// round tries every manager once, until one takes the session, and returns once
// that is over. ok tells whether one took it, err how that, or what was tried
// last, ended.
func (f *finder) round(ctx context.Context) (ok bool, err error) {
	dialing, settle := context.WithCancel(ctx)
	defer settle()
	attempts := make(chan attempt)
	left, waiting := order(f.cfg.Local, f.silent, f.cfg.Managers()), 0
	err = errNoManager
	for len(left) > 0 || waiting > 0 {
		if len(left) > 0 {
			go f.try(dialing, left[0], attempts)
			left, waiting = left[1:], waiting+1
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(stagger):
		case a := <-attempts:
			waiting--
			if ok, err = f.follow(ctx, a, settle); ok {
				return true, err // the managers may be others now
			}
		}
	}
	return false, err
}

// try connects to a manager, for whoever still wants it then.
func (f *finder) try(ctx context.Context, addr string, attempts chan<- attempt) {
	l, err := dial(ctx, f.cfg, addr)
	select {
	case attempts <- attempt{addr, l, err}:
	case <-ctx.Done():
		if l != nil {
			l.close()
		}
	}
}

// follow runs a session with the manager that was reached, or the one that it
// points to. ok tells whether one accepted it; settled is called when it does.
func (f *finder) follow(ctx context.Context, a attempt, settled func()) (ok bool, err error) {
	for asked := 1; ; asked++ {
		if err = a.err; err == nil {
			c := &connection{line: a.line, cfg: f.cfg, taker: f.taker}
			err = c.run(ctx, func() {
				ok = true
				clear(f.told)
				settled()
			})
		}
		f.ended(ctx, a.addr, err)
		var r redirected
		if !errors.As(err, &r) || r.leader == "" || r.leader == a.addr || asked == maxRedirects || ctx.Err() != nil {
			return ok, err
		}
		a.addr = r.leader
		a.line, a.err = dial(ctx, f.cfg, a.addr)
	}
}

// ended notes, and logs, why the manager has no session with this node.
func (f *finder) ended(ctx context.Context, addr string, err error) {
	level := slog.LevelDebug
	if !errors.As(err, &redirected{}) {
		f.silent = addr
		if reason := fmt.Sprint(err); reason != f.told[addr] { // not the same again
			f.told[addr], level = reason, slog.LevelInfo
		}
	}
	f.cfg.Log.Log(ctx, level, "session ended", "addr", addr, "err", err)
}

// redirected is the error of a manager that does not lead.
type redirected struct{ leader string }

func (e redirected) Error() string {
	if e.leader == "" {
		return "there is no leader now"
	}
	return "another manager leads: " + e.leader
}
