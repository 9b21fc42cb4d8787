package dns

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/muster/muster/ingress/dns/names"
	"github.com/muster/muster/ingress/dns/upstream"
)

// Config of a resolver.
type Config struct {
	// Socket is the path at which the daemon tells the resolver its table.
	Socket string
	// Upstream is whom to ask what is not the cluster's. Its Dial is ours.
	Upstream upstream.Config
	Log      *slog.Logger
}

// Run answers the tasks of this node until ctx is done. It is the main function
// of the resolver process. Where another one runs, that one gets no more
// questions from the moment on at which this one has its table; what it has is
// for it to answer.
func Run(ctx context.Context, cfg Config) error {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Upstream.Dial, cfg.Upstream.Log = dial, cfg.Log
	r := &resolver{cfg: cfg, others: upstream.New(cfg.Upstream), known: make(chan struct{})}
	r.table.Store(names.Empty())
	r.doors = newDoors(r, cfg.Log)
	var leave func() error
	var err error
	if r.succeeds, leave, err = join(cfg.Socket); err != nil {
		return err
	}
	defer leave() //nolint:errcheck // it ends with the process in any case
	l, err := newLoop(r)
	if err != nil {
		return err
	}
	r.doors.loop = l
	control, err := listen(ctx, cfg.Socket)
	if err != nil {
		return errors.Join(err, l.close())
	}
	serving, stop := context.WithCancel(ctx)
	defer stop()
	looped := make(chan error, 1)
	go func() {
		defer stop() // without the loop there is nothing to serve
		select {
		case <-r.known:
			looped <- l.run() //nolint:contextcheck // what was asked is answered, also when all ends
		case <-serving.Done():
			looped <- nil
		}
	}()
	told := make(chan struct{})
	go func() {
		defer close(told)
		r.serve(serving, control)
	}()
	<-serving.Done()
	_ = control.Close()
	<-told
	// What was asked is answered.
	l.stop()
	err = <-looped
	l.streams.ending.Store(true)
	r.doors.drain() //nolint:contextcheck // as above
	l.streams.serving.Wait()
	r.others.Wait()
	r.doors.closeAll()
	return errors.Join(err, l.close())
}

// resolver is what the parts of the process share.
type resolver struct {
	cfg    Config
	table  atomic.Pointer[names.Table]
	others *upstream.Forwarder
	doors  *doors
	// succeeds says that another resolver ran when this one began.
	succeeds bool
	// knows says that there was a table, known is closed then. The former is for
	// who takes it in alone.
	knows bool
	known chan struct{}
}

// lookPeriod is how often the resolver looks whether the namespaces of its
// clients are those it knows, and tries again what failed.
const lookPeriod = time.Second
