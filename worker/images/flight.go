package images

import (
	"context"
	"sync"
)

// Progress is how far the work on an image is.
type Progress struct {
	// Stage is resolving, fetching, unpacking or done.
	Stage string
	// Done and Total are bytes; Total is 0 when it is not known.
	Done, Total int64
}

// flights lets callers that want the same image share one run of the work.
// The run is bound to all of them: it is cancelled when the last one gives up.
type flights struct {
	mu      sync.Mutex
	running map[string]*flight
}

type flight struct {
	cancel context.CancelFunc
	done   chan struct{} // closed once image and err are set
	image  *Image
	err    error

	mu        sync.Mutex
	waiters   int
	listeners []func(Progress)
}

// do runs work for key, or waits for the run that is under way.
func (f *flights) do(ctx context.Context, key string, progress func(Progress),
	work func(context.Context, func(Progress)) (*Image, error),
) (*Image, error) {
	fl := f.join(ctx, key, progress, work)
	select {
	case <-fl.done:
		return fl.image, fl.err
	case <-ctx.Done():
		if f.leave(key, fl) {
			<-fl.done
		}
		return nil, context.Cause(ctx)
	}
}

// join finds the run for key or begins it.
func (f *flights) join(ctx context.Context, key string, progress func(Progress),
	work func(context.Context, func(Progress)) (*Image, error),
) *flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.running == nil {
		f.running = make(map[string]*flight)
	}
	fl, ok := f.running[key]
	if !ok {
		runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		fl = &flight{cancel: cancel, done: make(chan struct{})}
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
	fl.waiters++
	fl.listeners = append(fl.listeners, progress)
	return fl
}

// leave gives up on a run. It reports whether the caller was the last one, who
// has cancelled the run and must wait for its end.
func (f *flights) leave(key string, fl *flight) (last bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fl.mu.Lock()
	defer fl.mu.Unlock()
	fl.waiters--
	if fl.waiters > 0 {
		return false
	}
	// Whoever comes now must not join a run that is cancelled.
	if f.running[key] == fl {
		delete(f.running, key)
	}
	fl.cancel()
	return true
}

func (f *flights) end(key string, fl *flight) {
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
	for _, listen := range fl.listeners {
		listen(p)
	}
}
