package worker

import (
	"context"
	"log/slog"
	"sync"
	"time"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
)

// imagesTimeout bounds how long the runtime is asked for its images, and is
// how often it is asked again after it did not answer.
const imagesTimeout = 3 * time.Second

// imageReporter tells managers which images the node holds.
type imageReporter struct {
	images Images // nil when the node keeps no store
	log    *slog.Logger
	// changed is called when there is something to tell.
	changed func()

	mu    sync.Mutex
	known []*clusterpb.NodeImage   // as made last
	due   bool                     // the list has to be made again
	news  *dispatchpb.ReportImages // not told yet
}

// atRegistration returns the images to register with. A runtime that restarts
// or hangs must not keep the node from the cluster: then it registers with those
// that it held last, and the list follows once it is known.
func (r *imageReporter) atRegistration(ctx context.Context) []*clusterpb.NodeImage {
	ctx, cancel := context.WithTimeout(ctx, registerPatience)
	defer cancel()
	list, err := r.held(ctx)
	if err != nil {
		r.log.WarnContext(ctx, "register with the images that were held last", "err", err)
		r.setDue()
	}
	return list
}

// held returns what the node holds; empty when it keeps no store. On an error it
// is what the node held last.
func (r *imageReporter) held(ctx context.Context) ([]*clusterpb.NodeImage, error) {
	if r.images == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, imagesTimeout)
	defer cancel()
	list, err := r.images.Held(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.known = list
	}
	return r.known, err
}

// take returns what is to be told now, or nil.
func (r *imageReporter) take() *dispatchpb.ReportImages {
	r.mu.Lock()
	defer r.mu.Unlock()
	news := r.news
	r.news = nil
	return news
}

// order passes on what managers want; nil is nothing new.
func (r *imageReporter) order(o *dispatchpb.ImageOrders) {
	if r.images != nil && o != nil {
		r.images.Order(o)
	}
}

// keep has the store carry out orders.
func (r *imageReporter) keep(ctx context.Context) error {
	if r.images == nil {
		return nil
	}
	return r.images.Run(ctx)
}

// run makes the list again when the node's images change, and when it could
// not be made before.
func (r *imageReporter) run(ctx context.Context) error {
	if r.images == nil {
		<-ctx.Done()
		return nil
	}
	retry := time.NewTicker(imagesTimeout)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.images.Changed():
			r.setDue()
		case <-retry.C:
		}
		if r.takeDue() {
			r.list(ctx)
		}
	}
}

func (r *imageReporter) list(ctx context.Context) {
	list, err := r.held(ctx)
	if err != nil {
		r.setDue() // the ticker tries again
		return
	}
	r.mu.Lock()
	r.news = &dispatchpb.ReportImages{Images: list}
	r.mu.Unlock()
	r.changed()
}

func (r *imageReporter) setDue() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.due = true
}

func (r *imageReporter) takeDue() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	due := r.due
	r.due = false
	return due
}
