package worker

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
)

// store is an image store that may be away.
type store struct {
	mu      sync.Mutex
	away    bool
	hang    atomic.Bool // nothing is answered
	names   []string
	changed chan struct{}
	orders  []*dispatchpb.ImageOrders
}

func (s *store) Order(o *dispatchpb.ImageOrders) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.orders = append(s.orders, o)
}

func (s *store) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (s *store) Held(ctx context.Context) (list []*clusterpb.NodeImage, err error) {
	if s.hang.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return nil, errdefs.ErrUnavailable
	}
	for _, name := range s.names {
		list = append(list, &clusterpb.NodeImage{Name: name})
	}
	return list, nil
}

func (s *store) Changed() <-chan struct{} { return s.changed }

// become changes the store, and says so if tell is set.
func (s *store) become(away, tell bool, names ...string) {
	s.mu.Lock()
	s.away, s.names = away, names
	s.mu.Unlock()
	if tell {
		wake(s.changed)
	}
}

// TestImageReporter tells what managers hear of a node's images.
func TestImageReporter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		images := &store{changed: make(chan struct{}, 1)}
		told := 0
		r := &imageReporter{images: images, log: slog.New(slog.DiscardHandler), changed: func() { told++ }}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = r.run(ctx) })
		defer wg.Wait()
		defer cancel()
		wants := func(when string, want ...string) {
			t.Helper()
			synctest.Wait()
			news := r.take()
			if (news == nil) != (want == nil) || names(news) != names(&dispatchpb.ReportImages{Images: of(want)}) {
				t.Errorf("%s: told %q, want %q", when, names(news), want)
			}
		}

		images.become(false, false, "web")
		if got := r.atRegistration(ctx); len(got) != 1 || got[0].GetName() != "web" {
			t.Errorf("registers with %v, want web", got)
		}
		time.Sleep(time.Minute)
		wants("nothing changed")
		images.become(false, true, "web", "db")
		wants("an image came", "web", "db")
		wants("told already")

		images.become(true, true)
		wants("the runtime restarts")
		images.become(false, false, "web")
		time.Sleep(imagesTimeout)
		wants("it is back", "web")

		images.become(true, false)
		if got := r.atRegistration(ctx); len(got) != 1 || got[0].GetName() != "web" {
			t.Errorf("registers with %v while the runtime is away, want what was held last", got)
		}
		images.hang.Store(true)
		start := time.Now()
		if got := r.atRegistration(ctx); len(got) != 1 || time.Since(start) > time.Second {
			t.Errorf("registers with %v after %s while the runtime hangs", got, time.Since(start))
		}
		images.hang.Store(false)
		images.become(false, false, "db")
		time.Sleep(imagesTimeout)
		wants("it is back after a registration meanwhile", "db")
		if told != 3 {
			t.Errorf("the session was woken %d times, want 3", told)
		}
	})
}

// TestNoImageStore: a node may keep none.
func TestNoImageStore(t *testing.T) {
	r := &imageReporter{log: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := r.atRegistration(ctx), r.run(ctx); len(got) != 0 || err != nil || r.take() != nil {
		t.Errorf("registers with %v, run = %v", got, err)
	}
}

func of(list []string) (images []*clusterpb.NodeImage) {
	for _, name := range list {
		images = append(images, &clusterpb.NodeImage{Name: name})
	}
	return images
}

func names(r *dispatchpb.ReportImages) (all string) {
	for _, img := range r.GetImages() {
		all += img.GetName() + " "
	}
	return all
}

// TestImageOrders reach the store as they come, and nothing else does.
func TestImageOrders(t *testing.T) {
	images := &store{}
	r := &imageReporter{images: images}
	o := &dispatchpb.ImageOrders{Keep: []string{"sha256:1"}}
	r.order(nil)
	r.order(o)
	if len(images.orders) != 1 || images.orders[0] != o {
		t.Errorf("orders %v", images.orders)
	}
	(&imageReporter{}).order(o) // a node without a store
}
