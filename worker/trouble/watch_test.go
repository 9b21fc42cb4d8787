package trouble

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// after lets time pass on the fake clock.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestTroubleIsToldOnceItLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var err atomic.Value // of error
		w := New(slog.New(slog.DiscardHandler),
			Check{Name: "containerd", Look: func(context.Context) error { return *err.Load().(*error) }},
			Check{Name: "disk", Look: func(context.Context) error { return nil }},
		)
		becomes := func(e error) { err.Store(&e) }
		becomes(nil)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go w.Run(ctx) //nolint:errcheck // it returns nil
		expect := func(when string, changed bool, want ...string) {
			t.Helper()
			got, warnings := w.Now()
			if d := cmp.Diff(want, got); d != "" || len(warnings) > 0 {
				t.Errorf("%s (-want +got):\n%s, warnings %q", when, d, warnings)
			}
			select {
			case <-w.Changed():
				if !changed {
					t.Errorf("%s: told that something changed", when)
				}
			default:
				if changed {
					t.Errorf("%s: not told", when)
				}
			}
		}
		after(Period - time.Second)
		expect("all is well", false)
		becomes(errors.New("refused"))
		after(Period)
		expect("one look found trouble", false)
		after(Period)
		expect("two looks did", true, "containerd: refused")
		after(Period)
		expect("it lasts", false, "containerd: refused")
		becomes(errors.New("no such file"))
		after(Period)
		expect("it is another", true, "containerd: no such file")
		becomes(nil)
		after(Period)
		expect("it is over", true)
	})
}

// TestHangingCheck: what cannot be broken off is trouble, holds up no other
// check, and is not asked again meanwhile.
func TestHangingCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked, others atomic.Int32
		release := make(chan struct{})
		w := New(slog.New(slog.DiscardHandler),
			Check{Name: "disk", Look: func(context.Context) error { asked.Add(1); <-release; return nil }},
			Check{Name: "containerd", Look: func(context.Context) error { others.Add(1); return nil }, Warning: true},
		)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go w.Run(ctx) //nolint:errcheck // it returns nil
		after(10*Period + time.Second)
		if got, _ := w.Now(); len(got) != 1 || got[0] != "disk: has not answered for 3s" {
			t.Errorf("trouble %q", got)
		}
		if asked.Load() != 1 || others.Load() < 10 {
			t.Errorf("the one that hangs was asked %d times, the other %d", asked.Load(), others.Load())
		}
		close(release)
		after(Period)
		if got, _ := w.Now(); len(got) != 0 {
			t.Errorf("trouble %q, though it answers", got)
		}
	})
}

func TestWarnings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(slog.New(slog.DiscardHandler), Check{
			Name: "firewall", Look: func(context.Context) error { return errors.New("drops") }, Warning: true, Period: time.Minute,
		})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go w.Run(ctx) //nolint:errcheck // it returns nil
		after(time.Minute + time.Second)
		troubles, warnings := w.Now()
		if len(troubles) > 0 || len(warnings) != 1 || warnings[0] != "firewall: drops" {
			t.Errorf("troubles %q, warnings %q", troubles, warnings)
		}
	})
}
