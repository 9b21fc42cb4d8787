package worker

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// TestDescriberTellsWhatChanged: an address that comes or goes is told once,
// without a new session.
func TestDescriberTellsWhatChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			now     atomic.Pointer[clusterpb.NodeDescription]
			trouble atomic.Bool
			woken   atomic.Int32
		)
		d := &describer{
			describe: func(context.Context) (*clusterpb.NodeDescription, error) {
				if trouble.Load() {
					return nil, errors.New("no devices")
				}
				return now.Load(), nil
			},
			log: slog.New(slog.DiscardHandler), changed: func() { woken.Add(1) },
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go d.run(ctx) //nolint:errcheck // it returns nil
		after := func() *clusterpb.NodeDescription {
			time.Sleep(describePeriod + time.Second) // of the fake clock
			synctest.Wait()
			return d.take()
		}
		if got := after(); got != nil || woken.Load() > 0 {
			t.Errorf("before the registration it tells %v", got)
		}
		now.Store(&clusterpb.NodeDescription{Addresses: []string{"192.0.2.9"}})
		if got, err := d.atRegistration(ctx); err != nil || len(got.GetAddresses()) != 1 {
			t.Errorf("at the registration: %v, %v", got, err)
		}
		if got := after(); got != nil || woken.Load() > 0 {
			t.Errorf("nothing changed, and it tells %v", got)
		}
		now.Store(&clusterpb.NodeDescription{Addresses: []string{"192.0.2.9", "192.0.2.10"}})
		if got := after(); len(got.GetAddresses()) != 2 || woken.Load() != 1 {
			t.Errorf("told %v after %d calls", got, woken.Load())
		}
		if got := after(); got != nil {
			t.Errorf("told twice: %v", got)
		}
		trouble.Store(true)
		if got := after(); got != nil {
			t.Errorf("told %v of what it could not find out", got)
		}
	})
}
