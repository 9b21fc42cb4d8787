package images

import (
	"context"
	"sync"
)

// Progress is how far the work on an image is.
type Progress struct {
	// Stage is waiting, resolving, fetching, unpacking or done.
	Stage string
	// Done and Total are bytes; Total is 0 when it is not known.
	Done, Total int64
}

// subject is what callers share the work on: an image, and the login to get it
// by, for what one caller may have is not for all.
type subject struct{ image, auth string }

// flights lets callers that want the same image share one run of the work.
// The run is bound to all of them: it is cancelled when the last one gives up.
type flights struct {
	mu      sync.Mutex
	running map[subject]*flight
}

type flight struct {
	cancel context.CancelFunc
	done   chan struct{} // closed once image and err are set
	image  *Image
	err    error

	mu      sync.Mutex
	waiters map[*waiter]struct{}
	last    *Progress // what was told last, for those who come later
}

// waiter is a caller who waits for a run and hears how far it is.
type waiter struct{ progress func(Progress) }

// do runs work for key, or waits for the run that is under way.
func (f *flights) do(ctx context.Context, key subject, progress func(Progress),
	work func(context.Context, func(Progress)) (*Image, error),
) (*Image, error) {
	w := &waiter{progress}
	fl := f.join(ctx, key, w, work)
	select {
	case <-fl.done:
		return fl.image, fl.err
	case <-ctx.Done():
		if f.leave(key, fl, w) {
			<-fl.done
		}
		return nil, context.Cause(ctx)
	}
}

// join finds the run for key or begins it. Either may be further already than
// its beginning, so the caller hears where it is.
func (f *flights) join(ctx context.Context, key subject, w *waiter,
	work func(context.Context, func(Progress)) (*Image, error),
) *flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.running == nil {
		f.running = make(map[subject]*flight)
	}
	fl, ok := f.running[key]
	if !ok {
		runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		fl = &flight{cancel: cancel, done: make(chan struct{}), waiters: make(map[*waiter]struct{})}
		f.running[key] = fl
		go func() {
			defer cancel()
			fl.image, fl.err = work(runCtx, fl.tell)
			f.end(key, fl)
			close(fl.done)
		}()
	}
	fl.mu.Lock()
	defer fl.mu.Unlock()
	fl.waiters[w] = struct{}{}
	if fl.last != nil {
		w.progress(*fl.last)
	}
	return fl
}

// leave gives up on a run: the caller hears nothing more of it. It reports
// whether the caller was the last one; then the run is cancelled, and the caller
// must wait for its end.
func (f *flights) leave(key subject, fl *flight, w *waiter) (last bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fl.mu.Lock()
	defer fl.mu.Unlock()
	delete(fl.waiters, w)
	if len(fl.waiters) > 0 {
		return false
	}
	// Whoever comes now must not join a run that is cancelled.
	if f.running[key] == fl {
		delete(f.running, key)
	}
	fl.cancel()
	return true
}

func (f *flights) end(key subject, fl *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.running[key] == fl {
		delete(f.running, key)
	}
}

// tell passes progress on to everyone who waits.
func (fl *flight) tell(p Progress) {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	fl.last = &p
	for w := range fl.waiters {
		w.progress(p)
	}
}
