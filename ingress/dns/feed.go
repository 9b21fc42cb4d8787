package dns

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"sync"
	"time"

	"github.com/muster/muster/ingress/dns/names"
)

// How often a daemon looks for its resolver while there is none, at first and
// at last: one that was killed is back within a tenth of a second.
const (
	firstRetry = 5 * time.Millisecond
	lastRetry  = 500 * time.Millisecond
	// maxBehind is how many updates wait for a resolver before it is told the whole.
	maxBehind = 100
)

// FeedConfig is what a Feed needs.
type FeedConfig struct {
	// Socket is that of the resolver's Config.
	Socket string
	// Applied is called with the index of the table that is in effect, and why
	// clients cannot ask, by client, whenever either changes. Calls do not
	// overlap. May be nil.
	Applied func(index uint64, trouble map[string]string)
	Log     *slog.Logger
}

// Feed keeps the resolver told what names mean: the whole table when it is found,
// then what changes.
type Feed struct {
	cfg FeedConfig

	mu     sync.Mutex
	table  *names.Table
	behind []*names.Update // what the resolver was not told yet
	sent   uint64          // updates on this connection
	wanted int             // the process to talk to; 0 for whichever is there
	ready  int             // the process that has what was last said
	conn   net.Conn
	woken  chan struct{} // closed when something above changed
}

// NewFeed returns a feed of the empty table.
func NewFeed(cfg FeedConfig) *Feed {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Applied == nil {
		cfg.Applied = func(uint64, map[string]string) {}
	}
	return &Feed{cfg: cfg, table: names.Empty(), woken: make(chan struct{})}
}

// Change takes in what changed. What it gives must not be changed any more. The
// error is about what is not sound in the update and is left out.
func (f *Feed) Change(u *names.Update) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	table, err := f.table.Apply(u)
	f.table, f.ready = table, 0
	f.behind = append(f.behind, u)
	if len(f.behind) > maxBehind {
		f.behind = []*names.Update{table.Whole()}
	}
	f.wake()
	return err
}

// Succeed waits until the resolver with that process id has the table and
// answers all questions, so that the one before it may end.
func (f *Feed) Succeed(ctx context.Context, pid int) error {
	f.mu.Lock()
	f.wanted = pid
	if f.conn != nil && f.ready != pid {
		_ = f.conn.Close() // it may be that of another process
	}
	f.wake()
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.wanted == pid {
			f.wanted = 0
		}
	}()
	for {
		f.mu.Lock()
		ready, woken := f.ready, f.woken
		f.mu.Unlock()
		if ready == pid {
			return nil
		}
		select {
		case <-woken:
		case <-ctx.Done():
			return fmt.Errorf("wait for resolver %d: %w", pid, ctx.Err())
		}
	}
}

// wake tells who waits that something changed.
func (f *Feed) wake() {
	close(f.woken)
	f.woken = make(chan struct{})
}

// Run tells the resolver, whenever there is one, until ctx is done.
func (f *Feed) Run(ctx context.Context) error {
	pause := firstRetry
	reason := ""
	for ctx.Err() == nil {
		began := time.Now()
		err := f.talk(ctx)
		if time.Since(began) > lastRetry {
			pause, reason = firstRetry, ""
		}
		if err.Error() != reason && ctx.Err() == nil && !f.isWaiting() {
			reason = err.Error()
			f.cfg.Log.WarnContext(ctx, "the resolver is not told of changes: will retry", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, lastRetry)
	}
	return nil
}

// isWaiting reports whether a resolver is to take the place of another.
func (f *Feed) isWaiting() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.wanted != 0
}

// talk tells one resolver until the connection breaks.
func (f *Feed) talk(ctx context.Context) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", f.cfg.Socket)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	in := bufio.NewReader(conn)
	var h hello
	_ = conn.SetReadDeadline(time.Now().Add(time.Second))
	if err := read(in, &h); err != nil {
		return err
	}
	_ = conn.SetReadDeadline(time.Time{})
	if h.Format != Format {
		return fmt.Errorf("the resolver (process %d) speaks format %d, and this daemon %d: it will be replaced", h.Pid, h.Format, Format)
	}
	whole, err := f.begin(conn, h.Pid)
	if err != nil {
		return err
	}
	defer f.end()
	broken := make(chan error, 1)
	go func() { broken <- f.listen(in, h.Pid) }()
	updates, woken := []*names.Update{whole}, (<-chan struct{})(nil)
	for {
		for _, u := range updates {
			for _, part := range parts(u) {
				if err := write(conn, part); err != nil {
					return errors.Join(err, conn.Close(), <-broken)
				}
			}
		}
		if updates, woken = f.take(); len(updates) > 0 {
			continue
		}
		select {
		case <-woken:
		case err := <-broken:
			return err
		}
	}
}

// begin makes a connection the one that is told what changes, and returns what
// it is told first.
func (f *Feed) begin(conn net.Conn, pid int) (whole *names.Update, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.wanted != 0 && f.wanted != pid {
		return nil, fmt.Errorf("resolver %d is to be told, and %d answers", f.wanted, pid)
	}
	f.conn, f.behind, f.sent, f.ready = conn, nil, 1, 0
	return f.table.Whole(), nil
}

func (f *Feed) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.conn, f.ready = nil, 0
}

func (f *Feed) take() (updates []*names.Update, woken <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	updates, f.behind = f.behind, nil
	f.sent += uint64(len(updates))
	return updates, f.woken
}

// listen takes in what the resolver says.
func (f *Feed) listen(in *bufio.Reader, pid int) error {
	var last applied
	for {
		var a applied
		if err := read(in, &a); err != nil {
			return err
		}
		f.mu.Lock()
		if len(f.behind) == 0 && a.Updates == f.sent {
			f.ready = pid
			f.wake()
		}
		f.mu.Unlock()
		if a.Index != last.Index || last.Updates == 0 || !maps.Equal(a.Trouble, last.Trouble) {
			f.cfg.Applied(a.Index, a.Trouble)
		}
		last = a
	}
}
