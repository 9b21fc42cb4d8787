package enforce

import (
	"fmt"
	"testing"
	"time"

	"github.com/muster/muster/manager/control/controltest"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
)

// BenchmarkEvict takes all tasks of a large service off one node: the time per
// task must not grow with their number.
func BenchmarkEvict(b *testing.B) {
	for _, tasks := range []int{1000, 2000, 4000, 8000} {
		b.Run(fmt.Sprint(tasks), func(b *testing.B) {
			w := crowded(b, tasks)
			for b.Loop() {
				changes, _ := Controller(w.ID).Plan(w.State, "a", time.Unix(1e9, 0))
				if len(changes) != 2*tasks {
					b.Fatalf("%d changes, want %d", len(changes), 2*tasks)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(tasks), "ns/task")
		})
	}
}

// crowded has a service whose tasks all run on node a, which they may not any more.
func crowded(b *testing.B, tasks int) *controltest.World {
	b.Helper()
	w := controltest.New(b)
	w.AddNode("a")
	w.Put("web", func(s *clusterpb.ServiceSpec) {
		s.Task.Placement = &clusterpb.Placement{Constraints: []string{"node.labels.zone==x"}}
	})
	svc := w.Service("web")
	var changes []*raftpb.Change
	for i := range tasks {
		id := w.ID()
		changes = append(changes, state.CreateTask(&clusterpb.Task{
			Id: id, ServiceId: "web", Slot: uint32(i + 1), Spec: svc.GetSpec().GetTask(), SpecVersion: svc.GetSpecVersion(),
			Desired: lifecycle.Running, Status: &clusterpb.TaskStatus{State: lifecycle.New},
		}), state.AssignTask(id, "a", nil))
	}
	w.Apply(changes...)
	return w
}
