package trouble

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

const (
	// Period is how often a check looks, unless it says otherwise.
	Period = 5 * time.Second
	// Timeout bounds one look.
	Timeout = 3 * time.Second
	// patience is how many looks in a row must find trouble before it is told:
	// what has passed by the next look was none.
	patience = 2
)

// Check looks at one thing that the node needs.
type Check struct {
	// Name says what is looked at, such as "containerd".
	Name string
	// Look returns what is wrong, or nil. While a look hangs no other begins.
	Look func(ctx context.Context) error
	// Period is how often to look; the constant if zero.
	Period time.Duration
	// Warning: the node does its work all the same, if not all of it.
	Warning bool
}

// Watch runs checks. The zero value has none; use New otherwise.
type Watch struct {
	log     *slog.Logger
	checks  []Check
	changed chan struct{}

	mu    sync.Mutex
	found []finding // as checks
}

// finding is what a check found out.
type finding struct {
	inARow int // looks that found trouble
	err    error
}

// New returns a watch that does nothing until it is run.
func New(log *slog.Logger, checks ...Check) *Watch {
	return &Watch{log: log, checks: checks, changed: make(chan struct{}, 1), found: make([]finding, len(checks))}
}

// Run looks until ctx is done.
func (w *Watch) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for i := range w.checks {
		wg.Go(func() { w.run(ctx, i) })
	}
	wg.Wait()
	<-ctx.Done()
	return nil
}

// Now returns what is wrong now, in the order of the checks: what keeps the
// node from its work, and what does not.
func (w *Watch) Now() (troubles, warnings []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, f := range w.found {
		if f.inARow < patience {
			continue
		}
		text := fmt.Sprintf("%s: %v", w.checks[i].Name, f.err)
		if w.checks[i].Warning {
			warnings = append(warnings, text)
		} else {
			troubles = append(troubles, text)
		}
	}
	return troubles, warnings
}

// Changed tells its one reader that Now may return something else.
func (w *Watch) Changed() <-chan struct{} { return w.changed }

func (w *Watch) run(ctx context.Context, i int) {
	c := w.checks[i]
	period := c.Period
	if period == 0 {
		period = Period
	}
	tick := time.NewTicker(period)
	defer tick.Stop()
	var hanging chan error // of a look that has not returned
	for {
		if hanging == nil {
			hanging = make(chan error, 1)
			go look(ctx, c, hanging)
		}
		timeout := time.NewTimer(Timeout)
		select {
		case err := <-hanging:
			hanging = nil
			w.note(ctx, i, err)
		case <-timeout.C:
			w.note(ctx, i, fmt.Errorf("has not answered for %s", Timeout))
		case <-ctx.Done():
		}
		timeout.Stop()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look has a goroutine of its own: a call into a disk or a kernel that hangs
// cannot be broken off.
func look(ctx context.Context, c Check, done chan<- error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	done <- c.Look(ctx)
}

// note keeps what a look found and tells when that changes what is said.
func (w *Watch) note(ctx context.Context, i int, err error) {
	if ctx.Err() != nil {
		return // it was broken off with everything else
	}
	w.mu.Lock()
	before := w.found[i]
	now := finding{err: err}
	if err != nil {
		now.inARow = before.inARow + 1
	}
	w.found[i] = now
	w.mu.Unlock()
	switch said, says := before.inARow >= patience, now.inARow >= patience; {
	case said && !says:
		w.log.InfoContext(ctx, "this node is well again", "what", w.checks[i].Name)
	case says && !said:
		w.log.WarnContext(ctx, "this node is unwell", "what", w.checks[i].Name, "err", err)
	case !says || before.err.Error() == err.Error():
		return
	}
	select {
	case w.changed <- struct{}{}:
	default:
	}
}
