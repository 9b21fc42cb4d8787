package manager

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/muster/muster/manager/control"
	"github.com/muster/muster/manager/control/controltest"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/pod"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
)

// twoLeaders is a cluster that was led by a clock that was a day ahead.
type twoLeaders struct {
	*controltest.World

	t     *testing.T
	leads []*control.Controller
}

func ledByAClockThatWasAhead(t *testing.T) *twoLeaders {
	t.Helper()
	w := &twoLeaders{World: controltest.New(t), t: t, leads: controllers()}
	w.Now = time.Now().Add(24 * time.Hour)
	w.Apply(state.CreateCluster(&raftpb.CreateCluster{Id: "c", GossipKeys: [][]byte{[]byte("a"), []byte("b")}}))
	w.AddNode("n1")
	w.AddNode("n2")
	return w
}

// comeRight is another leader, whose clock is right.
func (w *twoLeaders) comeRight() {
	w.leads = controllers()
	w.Now = time.Now()
}

// within runs the cluster until something holds, and no longer.
func (w *twoLeaders) within(limit time.Duration, what string, holds func() bool) {
	w.t.Helper()
	for end := w.Now.Add(limit); ; w.Now = w.Now.Add(limit / 20) {
		w.work()
		if holds() {
			return
		}
		if !w.Now.Before(end) {
			w.t.Fatalf("after %v: %s", limit, what)
		}
	}
}

// work lets managers and workers do all that is to be done at this time.
func (w *twoLeaders) work() {
	for busy := true; busy; {
		w.Settle(w.leads...)
		busy = false
		for t := range w.State.Tasks() {
			if next := controltest.Next(t, w.State.Node); next != t.GetStatus().GetState() {
				w.Observe(t, next)
				busy = true
			}
		}
	}
}

// serving returns the tasks that run, by their images.
func (w *twoLeaders) serving() map[string]*clusterpb.Task {
	found := make(map[string]*clusterpb.Task)
	for t := range w.State.Tasks() {
		if lifecycle.Serving(t) {
			found[pod.Main(t.GetSpec()).GetImage()] = t
		}
	}
	return found
}

// TestRestartAfterAClockThatWasAhead: what waits for its restart waits for the
// delay, and no longer.
func TestRestartAfterAClockThatWasAhead(t *testing.T) {
	w := ledByAClockThatWasAhead(t)
	w.Put("web", func(s *clusterpb.ServiceSpec) {
		s.Task.Restart = &clusterpb.RestartPolicy{Delay: durationpb.New(5 * time.Second)}
	})
	w.work()
	w.Observe(w.serving()["v1"], lifecycle.Failed)
	w.work()
	if len(w.serving()) > 0 {
		t.Fatal("it does not wait")
	}
	w.comeRight()
	w.work()
	if len(w.serving()) > 0 {
		t.Error("it was restarted at once, want after the delay")
	}
	w.within(5*time.Second, "not restarted", func() bool { return len(w.serving()) > 0 })
}

// TestRolloutAfterAClockThatWasAhead: a rollout goes on, and ends.
func TestRolloutAfterAClockThatWasAhead(t *testing.T) {
	w := ledByAClockThatWasAhead(t)
	edit := func(image string) func(*clusterpb.ServiceSpec) {
		return func(s *clusterpb.ServiceSpec) {
			s.Task.Containers = []*clusterpb.ContainerSpec{{Image: image}}
			s.Mode = &clusterpb.ServiceSpec_Replicated{Replicated: &clusterpb.ReplicatedMode{Replicas: 3}}
			s.Update = &clusterpb.UpdateConfig{Parallelism: new(uint32(1)), Delay: durationpb.New(10 * time.Second), Monitor: durationpb.New(5 * time.Second)}
		}
	}
	w.Put("web", edit("v1"))
	w.work()
	w.Put("web", edit("v2"))
	w.work()
	w.comeRight()
	w.within(time.Minute, "the rollout is not over", func() bool {
		return w.Service("web").GetUpdate().GetState() == clusterpb.UpdateStatus_STATE_COMPLETED
	})
}

// TestGossipKeysAfterAClockThatWasAhead: they live for twelve hours.
func TestGossipKeysAfterAClockThatWasAhead(t *testing.T) {
	w := ledByAClockThatWasAhead(t)
	w.work()
	first := w.State.Secrets().GetVersion()
	w.comeRight()
	w.within(12*time.Hour, "the keys are the same", func() bool { return w.State.Secrets().GetVersion() != first })
}

// TestLostNodeAfterAClockThatWasAhead: tasks of a node that is down are given up
// after a day.
func TestLostNodeAfterAClockThatWasAhead(t *testing.T) {
	w := ledByAClockThatWasAhead(t)
	w.Put("web", func(*clusterpb.ServiceSpec) {})
	w.work()
	lost := w.serving()["v1"]
	w.SetNode(lost.GetNodeId(), clusterpb.NodeStatus_STATE_DOWN)
	w.work()
	w.comeRight()
	w.within(24*time.Hour, "the task of the lost node is awaited", func() bool {
		got, ok := w.State.Task(lost.GetId())
		return !ok || lifecycle.Ended(got.GetStatus().GetState())
	})
}
