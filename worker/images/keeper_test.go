package images

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
)

// rack is a shelf whose content is a list.
type rack struct {
	mu      sync.Mutex
	content []digest.Digest
	failing bool
	tried   int
}

func (r *rack) copy(_ context.Context, _ string, source Source) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tried++
	if r.failing {
		return errors.New("no node answers")
	}
	r.content = append(r.content, source.Digest)
	return nil
}

func (r *rack) spare(context.Context) ([]digest.Digest, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.content), nil
}

func (r *rack) discard(_ context.Context, content digest.Digest) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.content = slices.DeleteFunc(r.content, func(d digest.Digest) bool { return d == content })
	return nil
}

// becomes has copies fail or not, and returns how many were tried.
func (r *rack) becomes(failing bool) (tried int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failing = failing
	return r.tried
}

func (r *rack) left(t *testing.T) []digest.Digest {
	t.Helper()
	list, _ := r.spare(t.Context()) // never fails
	return list
}

func keeping(t *testing.T, r *rack, test func(k *keeper)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(r, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- k.run(ctx) }()
		test(k)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestKeeperDropsWhatNobodyNeeds after an hour, and nothing that managers want
// kept, nor anything before they said what.
func TestKeeperDropsWhatNobodyNeeds(t *testing.T) {
	r := &rack{content: []digest.Digest{"old", "kept", "back"}}
	keeping(t, r, func(k *keeper) {
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		if left := r.left(t); len(left) != 3 {
			t.Errorf("%v is left before managers said anything", left)
		}
		k.order(&dispatchpb.ImageOrders{Keep: []string{"kept"}})
		time.Sleep(keepUnneeded / 2)
		k.order(&dispatchpb.ImageOrders{Keep: []string{"kept", "back"}})
		synctest.Wait()
		k.order(&dispatchpb.ImageOrders{Keep: []string{"kept"}})
		time.Sleep(keepUnneeded/2 + time.Second)
		synctest.Wait()
		if left, want := r.left(t), []digest.Digest{"kept", "back"}; !slices.Equal(left, want) {
			t.Errorf("%v is left, want %v: what was wanted again begins anew", left, want)
		}
		time.Sleep(keepUnneeded)
		synctest.Wait()
		if left, want := r.left(t), []digest.Digest{"kept"}; !slices.Equal(left, want) {
			t.Errorf("%v is left, want %v", left, want)
		}
	})
}

// TestKeeperFetches what is ordered; what does not come is tried later and
// later, however often orders come.
func TestKeeperFetches(t *testing.T) {
	r := &rack{failing: true}
	keeping(t, r, func(k *keeper) {
		o := &dispatchpb.ImageOrders{Fetch: []*dispatchpb.ImageSource{{Image: "web@x", Digest: "x"}}, Keep: []string{"x"}}
		for range 100 {
			k.order(o)
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if tried := r.becomes(false); tried > 4 {
			t.Errorf("tried %d times in 100 s", tried)
		}
		time.Sleep(lastRetry)
		synctest.Wait()
		if left := r.left(t); len(left) != 1 {
			t.Errorf("the node holds %v", left)
		}
	})
}
