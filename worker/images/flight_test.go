package images

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
)

// run is work whose steps the test takes.
type run struct {
	begun int
	tell  func(Progress)
	end   chan error
	ctx   context.Context // what the work was given
}

func newRun() *run { return &run{end: make(chan error)} }

func (r *run) work(ctx context.Context, tell func(Progress)) (*Image, error) {
	r.begun++
	r.ctx, r.tell = ctx, tell
	select {
	case err := <-r.end:
		return &Image{Name: "web"}, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// caller wants an image.
type caller struct {
	heard  []string
	cancel context.CancelFunc
	done   bool
	image  *Image
	err    error
}

// call begins a caller, and returns once it waits.
func call(t *testing.T, wg *sync.WaitGroup, f *flights, key string, r *run) *caller {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c := &caller{cancel: cancel}
	wg.Go(func() {
		c.image, c.err = f.do(ctx, subject{image: key}, func(p Progress) { c.heard = append(c.heard, p.Stage) }, r.work)
		c.done = true
	})
	synctest.Wait()
	return c
}

func flying(t *testing.T, test func(call func(key string, r *run) *caller)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var f flights
		var wg sync.WaitGroup
		test(func(key string, r *run) *caller { return call(t, &wg, &f, key, r) })
		wg.Wait()
		if len(f.running) > 0 {
			t.Errorf("runs %v are left", f.running)
		}
	})
}

func TestCallersForOneImageShareTheWork(t *testing.T) {
	for name, failure := range map[string]error{"it comes": nil, "it fails": errors.New("no such image")} {
		t.Run(name, func(t *testing.T) {
			flying(t, func(call func(string, *run) *caller) {
				r, other := newRun(), newRun()
				callers := []*caller{call("web", r), call("web", r), call("web", r)}
				call("db", other)
				r.tell(Progress{Stage: "fetching"})
				r.end <- failure
				other.end <- nil
				synctest.Wait()
				if r.begun != 1 || other.begun != 1 {
					t.Errorf("the work was begun %d times, another's %d times", r.begun, other.begun)
				}
				for i, c := range callers {
					if !c.done || !errors.Is(c.err, failure) || len(c.heard) != 1 {
						t.Errorf("caller %d: done %t with %v, heard %v", i, c.done, c.err, c.heard)
					}
				}
				next := newRun() // what came or failed once is not remembered here
				call("web", next)
				next.end <- nil
				if next.begun != 1 {
					t.Error("a later caller got what an earlier one did")
				}
			})
		})
	}
}

func TestWorkGoesOnWhileSomebodyWaits(t *testing.T) {
	flying(t, func(call func(string, *run) *caller) {
		r := newRun()
		first, second := call("web", r), call("web", r)
		first.cancel()
		synctest.Wait()
		if !first.done || !errors.Is(first.err, context.Canceled) || r.ctx.Err() != nil {
			t.Errorf("who gave up: done %t with %v; the work: %v", first.done, first.err, r.ctx.Err())
		}
		r.end <- nil
		synctest.Wait()
		if second.err != nil || second.image == nil {
			t.Errorf("who waited got %v, %v", second.image, second.err)
		}
	})
}

// TestWhoComesLaterHearsWhereItIs: also the caller that began the work comes
// later than its first word, where the work is quicker than it.
func TestWhoComesLaterHearsWhereItIs(t *testing.T) {
	flying(t, func(call func(string, *run) *caller) {
		r := newRun()
		first := call("web", r)
		r.tell(Progress{Stage: "resolving"})
		second := call("web", r)
		r.tell(Progress{Stage: "fetching"})
		r.end <- nil
		synctest.Wait()
		for i, c := range []*caller{first, second} {
			if !slices.Equal(c.heard, []string{"resolving", "fetching"}) {
				t.Errorf("caller %d heard %v", i, c.heard)
			}
		}
	})
}

// A task that was given up must not go on telling of its image.
func TestWhoGaveUpHearsNoMore(t *testing.T) {
	flying(t, func(call func(string, *run) *caller) {
		r := newRun()
		first, second := call("web", r), call("web", r)
		r.tell(Progress{Stage: "resolving"})
		first.cancel()
		synctest.Wait()
		r.tell(Progress{Stage: "fetching"})
		r.end <- nil
		synctest.Wait()
		if len(first.heard) != 1 || len(second.heard) != 2 {
			t.Errorf("who gave up heard %v, who waits %v", first.heard, second.heard)
		}
	})
}

func TestWorkThatNobodyWaitsForEnds(t *testing.T) {
	flying(t, func(call func(string, *run) *caller) {
		r := newRun()
		first, second := call("web", r), call("web", r)
		first.cancel()
		second.cancel()
		synctest.Wait()
		if !first.done || !second.done || r.ctx.Err() == nil {
			t.Errorf("done: %t and %t; the work: %v", first.done, second.done, r.ctx.Err())
		}
		next := newRun() // does not join what ends
		c := call("web", next)
		next.end <- nil
		synctest.Wait()
		if next.begun != 1 || c.err != nil {
			t.Errorf("begun %d times, %v", next.begun, c.err)
		}
	})
}

// TestFlightsOfDifferentLogins: what one caller's login is refused for does not
// come from another's.
func TestFlightsOfDifferentLogins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f flights
		failed := errors.New("refused")
		errs := make(map[string]error)
		var mu sync.Mutex
		var wg sync.WaitGroup
		for _, auth := range []string{"ann", "bob"} {
			wg.Go(func() {
				_, err := f.do(t.Context(), subject{"web", auth}, func(Progress) {}, func(context.Context, func(Progress)) (*Image, error) {
					if auth == "bob" {
						return nil, failed
					}
					return &Image{}, nil
				})
				mu.Lock()
				defer mu.Unlock()
				errs[auth] = err
			})
		}
		wg.Wait()
		if errs["ann"] != nil || !errors.Is(errs["bob"], failed) {
			t.Errorf("%v, want bob alone refused", errs)
		}
	})
}

// TestTurn lets no more than so many transfers run, and each who waits give up.
func TestTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := make(turns, maxTransfers)
		var stages []string
		told := func(p Progress) { stages = append(stages, p.Stage) }
		for range maxTransfers {
			if err := s.take(t.Context(), told); err != nil {
				t.Fatal(err)
			}
		}
		if len(stages) > 0 {
			t.Errorf("%v while there was room", stages)
		}
		ctx, cancel := context.WithCancel(t.Context())
		waits := make(chan error, 1)
		go func() { waits <- s.take(ctx, told) }()
		synctest.Wait()
		if len(waits) > 0 || len(stages) != 1 || stages[0] != "waiting" {
			t.Errorf("%v: one more does not wait", stages)
		}
		cancel()
		if err := <-waits; !errors.Is(err, context.Canceled) {
			t.Errorf("take = %v", err)
		}
		<-s
		if err := s.take(t.Context(), told); err != nil {
			t.Errorf("take = %v when there is room again", err)
		}
	})
}
