package control_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/manager/control"
	"github.com/muster/muster/manager/control/controltest"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// run starts controllers, lets them come to rest, calls f, and stops them. It
// returns what Run returned.
func run(t *testing.T, store control.Store, f func(), controllers ...*control.Controller) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- control.Run(ctx, store, quiet(), controllers...) }()
	synctest.Wait()
	f()
	synctest.Wait()
	cancel()
	return <-done
}

func putService(id string, replicas uint32) *raftpb.Change {
	return state.PutService(&raftpb.PutService{Id: id, Spec: &clusterpb.ServiceSpec{
		Name: id, Mode: &clusterpb.ServiceSpec_Replicated{Replicated: &clusterpb.ReplicatedMode{Replicas: replicas}},
	}})
}

// filler creates as many tasks as a service has replicas.
func filler(name string) *control.Controller {
	return &control.Controller{
		Name: name, Keys: control.ServiceKeys, KeysOf: control.ServicesOf,
		Plan: func(s *state.State, key string, _ time.Time) (changes []*raftpb.Change, _ time.Duration) {
			svc, _ := s.Service(key)
			have := uint32(0)
			for range s.TasksOf(key) {
				have++
			}
			for n := have; n < svc.GetSpec().GetReplicated().GetReplicas(); n++ {
				changes = append(changes, state.CreateTask(&clusterpb.Task{
					Id: fmt.Sprint(key, "/", name, n), ServiceId: key, Slot: n, Desired: lifecycle.Running,
				}))
			}
			return changes, 0
		},
	}
}

func tasks(store *controltest.Store) (n int) {
	for range store.State().Tasks() {
		n++
	}
	return n
}

func propose(t *testing.T, store *controltest.Store, changes ...*raftpb.Change) {
	t.Helper()
	if err := store.Propose(t.Context(), changes...); err != nil {
		t.Fatal(err)
	}
}

func TestManyKeysCostFewCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := controltest.NewStore()
		for i := range 100 {
			propose(t, store, putService(fmt.Sprintf("s%03d", i), 3))
		}
		before := len(store.Commands())
		if err := run(t, store, func() {}, filler("fill")); err != nil {
			t.Fatal(err)
		}
		if got := tasks(store); got != 300 {
			t.Errorf("%d tasks, want 300", got)
		}
		if got := store.Commands()[before:]; len(got) > 3 {
			t.Errorf("took commands of %v changes, want at most 3 commands", got)
		}
	})
}

func TestOneKeyWithManyChangesIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := controltest.NewStore()
		propose(t, store, putService("big", 1000))
		if err := run(t, store, func() {}, filler("fill")); err != nil {
			t.Fatal(err)
		}
		if got := tasks(store); got != 1000 {
			t.Errorf("%d tasks, want 1000", got)
		}
		for _, n := range store.Commands() {
			if n > 200 {
				t.Errorf("a command had %d changes", n)
			}
		}
	})
}

func TestChangesWakeTheirKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := controltest.NewStore()
		var planned []string
		c := filler("fill")
		plan := c.Plan
		c.Plan = func(s *state.State, key string, now time.Time) ([]*raftpb.Change, time.Duration) {
			planned = append(planned, key)
			return plan(s, key, now)
		}
		err := run(t, store, func() {
			propose(t, store, putService("web", 1))
			synctest.Wait()
			if got := strings.Join(planned, " "); got != "web web" { // the service, then its task
				t.Errorf("planned %q", got)
			}
		}, c)
		if err != nil {
			t.Fatal(err)
		}
	})
}

// Two controllers that would both fill a slot do not, for the second sees what
// the first did.
func TestControllersTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := controltest.NewStore()
		err := run(t, store, func() { propose(t, store, putService("web", 5)) }, filler("one"), filler("two"))
		if err != nil {
			t.Fatal(err)
		}
		if got := tasks(store); got != 5 {
			t.Errorf("%d tasks, want 5", got)
		}
	})
}

func TestPlanIsCalledAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := controltest.NewStore()
		propose(t, store, putService("web", 0))
		began := time.Now()
		var at []time.Duration
		c := filler("fill")
		c.Plan = func(_ *state.State, _ string, now time.Time) ([]*raftpb.Change, time.Duration) {
			at = append(at, now.Sub(began))
			return nil, 90 * time.Minute // longer than the loop ever sleeps
		}
		err := run(t, store, func() { time.Sleep(200 * time.Minute) }, c)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := fmt.Sprint(at), "[0s 1h30m0s 3h0m0s]"; got != want {
			t.Errorf("planned at %s, want %s", got, want)
		}
	})
}

func TestFailedProposalsAreRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := controltest.NewStore()
		propose(t, store, putService("web", 1))
		failures := 0
		store.Fail = func([]*raftpb.Change) error {
			if failures++; failures <= 5 {
				return fmt.Errorf("no quorum: %w", errdefs.ErrUnavailable)
			}
			return nil
		}
		began := time.Now()
		err := run(t, store, func() {
			time.Sleep(time.Minute)
			if got := tasks(store); got != 1 {
				t.Errorf("%d tasks after a minute, want 1", got)
			}
		}, filler("fill"))
		if err != nil {
			t.Fatal(err)
		}
		if failures != 6 || time.Since(began) < 3*time.Second {
			t.Errorf("%d proposals", failures)
		}
	})
}

// One key whose changes are refused does not hold up those that were proposed with it.
func TestRefusedKeyIsProposedAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := controltest.NewStore()
		for _, id := range []string{"a", "bad", "c"} {
			propose(t, store, putService(id, 2))
		}
		store.Fail = func(changes []*raftpb.Change) error {
			for _, c := range changes {
				if c.GetCreateTask().GetTask().GetServiceId() == "bad" {
					return fmt.Errorf("port taken: %w", errdefs.ErrConflict)
				}
			}
			return nil
		}
		err := run(t, store, func() {
			time.Sleep(time.Second)
			if got := tasks(store); got != 4 {
				t.Errorf("%d tasks, want those of a and c", got)
			}
			time.Sleep(time.Minute)
		}, filler("fill"))
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestPanicEndsTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := controltest.NewStore()
		propose(t, store, putService("web", 1))
		c := filler("fill")
		c.Plan = func(*state.State, string, time.Time) ([]*raftpb.Change, time.Duration) {
			panic(errors.New("index out of range"))
		}
		err := run(t, store, func() {}, c)
		if err == nil || !strings.Contains(err.Error(), "controller fill: plan web: index out of range") {
			t.Errorf("got %v", err)
		}
	})
}
