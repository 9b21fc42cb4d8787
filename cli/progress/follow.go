package progress

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/containerd/errdefs"

	"github.com/muster/muster/cli/command"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/spec"
)

const (
	// reconnectLimit bounds how long the wait goes on without a manager.
	reconnectLimit = 30 * time.Second
	// stuckAfter is how long a rollout without headway is waited for, beside
	// the times that the service's own rollout settings take.
	stuckAfter = 15 * time.Minute
)

// Options say how to wait.
type Options struct {
	Goal
	// Quiet shows nothing on the way.
	Quiet bool
	// Timeout bounds the wait as a whole; 0 waits as long as there is headway.
	Timeout time.Duration
}

// Follow waits until svc, as the command's call returned it, has converged.
// An error has the exit status that tells how the rollout ended.
func Follow(ctx context.Context, env *command.Env, svc *clusterpb.Service, opts Options) error {
	conn, err := env.Control()
	if err != nil {
		return err
	}
	return newFollower(env, clients{
		services: controlpb.NewServiceServiceClient(conn), nodes: controlpb.NewNodeServiceClient(conn), logs: controlpb.NewLogServiceClient(conn),
	}, svc, opts).run(ctx)
}

// clients ask the managers for what a wait shows.
type clients struct {
	services controlpb.ServiceServiceClient
	nodes    controlpb.NodeServiceClient
	logs     controlpb.LogServiceClient
}

func newFollower(env *command.Env, ask clients, svc *clusterpb.Service, opts Options) *follower {
	f := &follower{
		env: env, ask: ask, opts: opts, id: svc.GetId(), name: svc.GetSpec().GetName(),
		tracker: NewTracker(opts.Goal), nodes: make(map[string]string),
	}
	v := view{f.name, f.nodeName}
	switch {
	case opts.Quiet:
		f.drawer = silent{}
	case env.Screen != nil:
		f.drawer = &screen{view: v, w: env.Err, size: env.Screen}
	default:
		f.drawer = &plain{view: v, w: env.Err, slots: make(map[string]string)}
	}
	return f
}

// follower is one wait.
type follower struct {
	env      *command.Env
	ask      clients
	opts     Options
	id, name string
	tracker  *Tracker
	drawer   drawer
	nodes    map[string]string // host names by id

	seen   *controlpb.FollowServiceResponse
	report Report
	phase  clusterpb.UpdateStatus_State
	best   int       // the most headway in this phase
	bestAt time.Time // when it was made
}

// errTimeout is why a wait that took too long was given up.
var errTimeout = errors.New("time is up")

func (f *follower) run(ctx context.Context) error {
	caller := ctx
	if f.opts.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, f.opts.Timeout, errTimeout)
		defer cancel()
	}
	f.bestAt = time.Now()
	delays := backoff.NewExponentialBackOff()
	delays.InitialInterval, delays.MaxInterval = 100*time.Millisecond, 2*time.Second
	lost := time.Now()
	for {
		seen, err := f.attach(ctx)
		switch {
		case err == nil:
			return f.outcome(ctx)
		case caller.Err() != nil:
			return f.interrupted()
		case errors.Is(context.Cause(ctx), errTimeout) || errors.Is(err, errTimeout):
			return f.timedOut(ctx, err)
		case errdefs.IsNotFound(err):
			return fmt.Errorf("service %s was removed while waiting for it", f.name)
		case !errdefs.IsUnavailable(err) && !errors.Is(err, errEnded):
			return fmt.Errorf("follow service %s: %w", f.name, err)
		}
		if seen {
			lost = time.Now()
			delays.Reset()
		}
		if time.Since(lost) > reconnectLimit {
			return fmt.Errorf("no manager answered for %s; the service keeps converging in the background: %w", reconnectLimit, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(delays.NextBackOff()):
		}
	}
}

// errEnded is a stream that a manager closed, as one that steps down does.
var errEnded = errors.New("the manager ended the stream")

// attach follows one stream until there is a verdict (nil) or it breaks. It
// reports whether it saw anything.
func (f *follower) attach(ctx context.Context) (seen bool, err error) {
	// The stream has no deadline of its own: gRPC would tell it to the server,
	// which then might end the stream a moment before ctx says why.
	streaming, cancel := context.WithCancel(context.WithoutCancel(ctx))
	updates := receive(streaming, f.ask.services, f.id)
	defer func() {
		cancel()
		for range updates { // until the receiver has ended
		}
	}()
	timer := time.NewTimer(reconnectLimit)
	defer timer.Stop()
	for {
		select {
		case u := <-updates:
			if u.err != nil {
				return seen, u.err
			}
			seen = true
			f.seen = u.response
		case <-timer.C:
		case <-ctx.Done():
			return seen, context.Cause(ctx)
		}
		if !seen {
			return false, fmt.Errorf("a manager took the call and did not answer in %s: %w", reconnectLimit, errdefs.ErrUnavailable)
		}
		again, err := f.look(ctx)
		if err != nil || again == 0 {
			return seen, err
		}
		timer.Reset(again)
	}
}

// look judges and draws what was last seen. It returns when to look again, 0
// when the wait is over.
func (f *follower) look(ctx context.Context) (time.Duration, error) {
	now := time.Now()
	f.report = f.tracker.Look(f.seen, now)
	f.learnNodes(ctx)
	f.drawer.draw(f.report)
	if f.report.Verdict != Waiting {
		return 0, nil
	}
	if f.report.Phase != f.phase || f.report.Headway > f.best {
		f.phase, f.best, f.bestAt = f.report.Phase, f.report.Headway, now
	}
	limit := patience(f.seen.GetService().GetSpec())
	left := limit - now.Sub(f.bestAt)
	if left <= 0 && f.opts.Timeout == 0 {
		return 0, fmt.Errorf("no progress for %s: %w", limit, errTimeout)
	}
	again := max(left, time.Second)
	if f.report.Again > 0 {
		again = min(again, f.report.Again)
	}
	return again, nil
}

// patience is how long a service may take to its next step.
func patience(s *clusterpb.ServiceSpec) time.Duration {
	u := s.GetUpdate()
	return stuckAfter + u.GetDelay().AsDuration() + spec.Monitor(u) + spec.ProgressDeadline(u)
}

// update is what a stream brought.
type update struct {
	response *controlpb.FollowServiceResponse
	err      error
}

// receive opens a stream and passes on what comes until ctx ends or the
// stream does; the last update has an error then. The channel is closed when
// its goroutine has ended.
func receive(ctx context.Context, services controlpb.ServiceServiceClient, service string) <-chan update {
	updates := make(chan update)
	send := func(u update) bool {
		select {
		case updates <- u:
			return u.err == nil
		case <-ctx.Done():
			return false
		}
	}
	go func() {
		defer close(updates)
		stream, err := services.FollowService(ctx, &controlpb.FollowServiceRequest{Service: service})
		if err != nil {
			send(update{err: err})
			return
		}
		var w whole
		for {
			response, err := stream.Recv()
			if err != nil {
				send(update{err: orEnded(err)})
				return
			}
			if view := w.take(response); view != nil && !send(update{response: view}) {
				return
			}
		}
	}()
	return updates
}
