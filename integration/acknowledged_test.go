package integration_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/containerd/errdefs"

	"github.com/muster/muster/integration/cluster"
	"github.com/muster/muster/proto/call"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/id"
)

// TestAcknowledgedWritesAreKept lets clients write through any manager while
// leaders die and are cut off. Whatever was acknowledged is there in the end,
// once, although clients repeat what they got no answer to.
func TestAcknowledgedWritesAreKept(t *testing.T) {
	for _, seed := range seeds(t, 4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			cluster.Run(t, cluster.Config{Managers: 3, Workers: 1, Seed: seed}, func(ctx context.Context, c *cluster.Cluster) {
				w := &writers{t: t, c: c}
				c.CreateService("shared", 0)
				var all sync.WaitGroup
				for i := range 5 {
					r := random(seed, uint64(i))
					scaling := r.Uint64() // r is the other writer's from here on
					all.Go(func() { w.create(ctx, fmt.Sprintf("c%d", i), r) })
					all.Go(func() { w.scale(ctx, i, scaling) })
				}
				done := make(chan struct{})
				go func() { all.Wait(); close(done) }()
				trouble(c, random(seed, 99), done)
				w.check(ctx)
			})
		})
	}
}

// trouble kills, cuts off and replaces leaders until done is closed.
func trouble(c *cluster.Cluster, r *rand.Rand, done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-time.After(time.Duration(r.Int64N(int64(3 * time.Second)))):
		}
		leader := c.Leader()
		switch r.IntN(3) {
		case 0:
			c.Crash(leader)
			time.Sleep(time.Duration(r.Int64N(int64(4 * time.Second))))
			c.Restart(leader)
		case 1:
			c.Isolate(leader)
			time.Sleep(time.Duration(r.Int64N(int64(4 * time.Second))))
			c.Heal()
		default:
			c.TransferLeadership(context.Background())
		}
	}
}

// writers keep what they were told.
type writers struct {
	t *testing.T
	c *cluster.Cluster

	mu      sync.Mutex
	created []string
	history []porcupine.Operation
}

// create creates services one after the other.
func (w *writers) create(ctx context.Context, prefix string, r *rand.Rand) {
	for i := range 8 {
		time.Sleep(time.Duration(r.Int64N(int64(2 * time.Second))))
		name := fmt.Sprintf("%s-%d", prefix, i)
		_, err := services(w.c.Control()).CreateService(ctx, &controlpb.CreateServiceRequest{Spec: cluster.Spec(name, 0)})
		if err != nil {
			w.t.Errorf("create %s, though repeated with one request id: %v", name, err)
			continue
		}
		w.mu.Lock()
		w.created = append(w.created, name)
		w.mu.Unlock()
	}
}

// scale writes and reads one number that all share.
func (w *writers) scale(ctx context.Context, client int, seed uint64) {
	r := random(seed, 7)
	for range 10 {
		time.Sleep(time.Duration(r.Int64N(int64(2 * time.Second))))
		in := register{write: r.IntN(2) == 0, value: uint32(r.IntN(100))}
		began, out := time.Now(), uint32(0)
		var ok bool
		if in.write {
			ok = w.write(ctx, in.value)
		} else {
			out, ok = w.read(ctx)
		}
		back := time.Now().UnixNano()
		switch {
		case !ok && !in.write:
			continue
		case !ok:
			back = 1 << 62 // it may be applied at any later time
		}
		w.mu.Lock()
		w.history = append(w.history, porcupine.Operation{
			ClientId: client, Input: in, Call: began.UnixNano(), Output: out, Return: back,
		})
		w.mu.Unlock()
		if !ok {
			return // a client does one thing at a time
		}
	}
}

func (w *writers) write(ctx context.Context, value uint32) bool {
	_, err := services(w.c.Control()).ScaleService(ctx, &controlpb.ScaleServiceRequest{Service: "shared", Replicas: value})
	if err != nil && !errdefs.IsUnavailable(err) && !errdefs.IsConflict(err) {
		w.t.Errorf("scale: %v", err)
	}
	return err == nil
}

func (w *writers) read(ctx context.Context) (uint32, bool) {
	resp, err := services(w.c.Control()).GetService(ctx, &controlpb.GetServiceRequest{Service: "shared"})
	return resp.GetService().GetSpec().GetReplicated().GetReplicas(), err == nil
}

// check compares what was told with what is.
func (w *writers) check(ctx context.Context) {
	w.t.Helper()
	list, err := services(w.c.Control()).ListServices(ctx, &controlpb.ListServicesRequest{})
	if err != nil {
		w.t.Fatal(err)
	}
	count := make(map[string]int)
	for _, s := range list.GetServices() {
		count[s.GetService().GetSpec().GetName()]++
	}
	for _, name := range w.created {
		if count[name] != 1 {
			w.t.Errorf("service %s is there %d times", name, count[name])
		}
	}
	if len(list.GetServices()) != len(w.created)+1 {
		w.t.Errorf("%d services, want %d", len(list.GetServices()), len(w.created)+1)
	}
	if got := porcupine.CheckOperationsTimeout(registers, w.history, time.Minute); got != porcupine.Ok {
		w.t.Errorf("no order of these reads and writes explains them all (%s):\n%v", got, w.history)
	}
}

// register is a read or a write of the number of replicas.
type register struct {
	write bool
	value uint32
}

var registers = porcupine.Model{
	Init: func() any { return uint32(0) },
	Step: func(state, input, output any) (bool, any) {
		in := input.(register)
		if in.write {
			return true, in.value
		}
		return output == state, state
	},
}

// TestRepeatedWriteIsAppliedOnce: restarting a service is not idempotent by
// itself.
func TestRepeatedWriteIsAppliedOnce(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 3, Workers: 1}, func(ctx context.Context, c *cluster.Cluster) {
		c.CreateService("web", 1)
		ctx = call.WithRequestID(ctx, id.New())
		restart := &controlpb.ControlRolloutRequest{Service: "web", Action: controlpb.ControlRolloutRequest_ACTION_RESTART}
		for range 3 {
			for _, n := range c.Managers() {
				if _, err := services(c.On(n)).ControlRollout(ctx, restart); err != nil {
					t.Errorf("on %s: %v", n.Name, err)
				}
			}
			c.TransferLeadership(ctx)
			c.Leader()
		}
		if got := c.Service("web").GetRestarts(); got != 1 {
			t.Errorf("restarted %d times, want once", got)
		}
	})
}

// TestEveryRestartCounts: writers of one service get in each other's way, and
// leaders die; still each restart is made once.
func TestEveryRestartCounts(t *testing.T) {
	for _, seed := range seeds(t, 4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			cluster.Run(t, cluster.Config{Managers: 3, Workers: 1, Seed: seed}, func(ctx context.Context, c *cluster.Cluster) {
				c.CreateService("web", 0)
				var all sync.WaitGroup
				for i := range 6 {
					r := random(seed, uint64(i))
					all.Go(func() {
						for range 10 {
							time.Sleep(time.Duration(r.Int64N(int64(time.Second))))
							restart := &controlpb.ControlRolloutRequest{Service: "web", Action: controlpb.ControlRolloutRequest_ACTION_RESTART}
							if _, err := services(c.Control()).ControlRollout(ctx, restart); err != nil {
								t.Errorf("restart: %v", err)
							}
						}
					})
				}
				done := make(chan struct{})
				go func() { all.Wait(); close(done) }()
				trouble(c, random(seed, 99), done)
				if got := c.Service("web").GetRestarts(); got != 60 {
					t.Errorf("restarted %d times, want 60", got)
				}
			})
		})
	}
}
