package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
)

// maxRedirects bounds how many managers in a row may point elsewhere.
const maxRedirects = 3

// finder tries managers until one takes the session.
type finder struct {
	cfg   Config
	taker *taker

	silent string            // the manager that did not answer last
	told   map[string]string // the last reason logged, by manager
}

var errNoManager = errors.New("no manager is known")

// round tries every manager once, until one takes the session, and returns once
// that is over. ok tells whether one took it, err how that, or what was tried
// last, ended.
func (f *finder) round(ctx context.Context) (ok bool, err error) {
	dialing, settle := context.WithCancel(ctx)
	defer settle()
	connect := func(ctx context.Context, addr string) (*line, error) { return dial(ctx, f.cfg, addr) }
	err = errNoManager
	for a := range Beside(dialing, order(f.cfg.Local, f.silent, f.cfg.Managers()), connect, (*line).close) {
		if ok, err = f.follow(ctx, a, settle); ok {
			return true, err // the managers may be others now
		}
	}
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	return false, err
}

// follow runs a session with the manager that was reached, or the one that it
// points to. ok tells whether one accepted it; settled is called when it does.
func (f *finder) follow(ctx context.Context, a Attempt[*line], settled func()) (ok bool, err error) {
	for asked := 1; ; asked++ {
		if err = a.Err; err == nil {
			c := &connection{line: a.Conn, cfg: f.cfg, taker: f.taker}
			err = c.run(ctx, func() {
				ok = true
				clear(f.told)
				settled()
			})
		}
		f.ended(ctx, a.Addr, err)
		var r redirected
		if !errors.As(err, &r) || r.leader == "" || r.leader == a.Addr || asked == maxRedirects || ctx.Err() != nil {
			return ok, err
		}
		a.Addr = r.leader
		a.Conn, a.Err = dial(ctx, f.cfg, a.Addr)
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
