package worker

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

const (
	// describePeriod is how often the node looks at itself: its addresses
	// change, and so does containerd.
	describePeriod = 15 * time.Second
	// describeTimeout bounds one look.
	describeTimeout = 5 * time.Second
	// registerPatience is how long a registration waits for what may hang: a new
	// leader waits 6 s before it takes a node for lost, and may be found by way of
	// others.
	registerPatience = 500 * time.Millisecond
)

// describer tells managers what the node is, when it changes.
type describer struct {
	describe func(ctx context.Context) (*clusterpb.NodeDescription, error)
	troubles <-chan struct{} // receives when they may have changed
	stopping latch           // set once the machine shuts down
	log      *slog.Logger
	// changed is called when there is something to tell.
	changed func()

	mu   sync.Mutex
	told *clusterpb.NodeDescription
	news *clusterpb.NodeDescription // not told yet
}

// atRegistration returns what to register with.
func (d *describer) atRegistration(ctx context.Context) (*clusterpb.NodeDescription, error) {
	ctx, cancel := context.WithTimeout(ctx, registerPatience)
	defer cancel()
	desc, err := d.now(ctx)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.told, d.news = desc, nil
	return desc, nil
}

// now returns what the node is.
func (d *describer) now(ctx context.Context) (*clusterpb.NodeDescription, error) {
	desc, err := d.describe(ctx)
	if err != nil {
		return nil, err
	}
	select {
	case <-d.stopping.closed:
		desc = proto.CloneOf(desc)
		desc.Stopping = true
	default:
	}
	return desc, nil
}

// take returns what is to be told now, or nil.
func (d *describer) take() *clusterpb.NodeDescription {
	d.mu.Lock()
	defer d.mu.Unlock()
	news := d.news
	if news != nil {
		d.told, d.news = news, nil
	}
	return news
}

// run looks at the node from time to time until ctx is done.
func (d *describer) run(ctx context.Context) error {
	look := time.NewTicker(describePeriod)
	defer look.Stop()
	stopping := d.stopping.closed
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
		case <-d.troubles:
		case <-stopping:
			stopping = nil
		}
		d.look(ctx)
	}
}

// look finds out whether there is news. What was never told is left to the
// registration.
func (d *describer) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, describeTimeout)
	defer cancel()
	desc, err := d.now(ctx)
	if err != nil {
		d.log.WarnContext(ctx, "what this node is cannot be told", "err", err)
		return
	}
	d.mu.Lock()
	if d.told != nil && !proto.Equal(d.told, desc) {
		d.news = desc
	}
	news := d.news != nil
	d.mu.Unlock()
	if news {
		d.changed()
	}
}
