package plan

import (
	"fmt"
	"testing"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
	"github.com/muster/muster/raftstore/storetest"
)

const benchNodes, benchTasks, benchServices = 1000, 30, 300

// benchWorld is 1,000 nodes with 30 running tasks each, of 300 services.
func benchWorld(b *testing.B) *world {
	b.Helper()
	w := newWorld(b)
	w.plan = nil // made once, at the end
	for s := range benchServices {
		w.apply(addService(fmt.Sprint("s", s), uint32(10000+s)))
	}
	for n := range benchNodes {
		id := fmt.Sprintf("n%04d", n)
		changes := addNode(id)
		for k := range benchTasks {
			i := n*benchTasks + k
			t, s := fmt.Sprintf("t%05d", i), i%benchServices
			changes = append(changes, addTask(t, fmt.Sprint("s", s), uint32(10000+s)),
				state.AssignTask(t, id, storetest.Attached(fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255))), taskIs(t, lifecycle.Running))
		}
		w.apply(changes...)
	}
	w.plan = First(w.st, w.st.Index)
	return w
}

// BenchmarkFanOut is one task that turns unhealthy and healthy again, and all
// 1,000 nodes brought up to date: what a change of the mesh costs.
func BenchmarkFanOut(b *testing.B) {
	w := benchWorld(b)
	bases := make([]*Set, benchNodes)
	for i := range bases {
		bases[i] = w.plan.Set(fmt.Sprintf("n%04d", i))
	}
	sick := []*raftpb.Change{
		state.ObserveTask("t00000", &clusterpb.TaskStatus{State: lifecycle.Running, Health: &clusterpb.HealthStatus{State: clusterpb.HealthStatus_STATE_UNHEALTHY}}),
		state.ObserveTask("t00000", &clusterpb.TaskStatus{State: lifecycle.Running}),
	}
	b.ResetTimer()
	for i := range b.N {
		w.apply(sick[i%2])
		for n := range bases {
			next := w.plan.Refresh(bases[n])
			if n == 0 {
				next = w.plan.Set(bases[n].nodeID)
			}
			a, changed := next.Since(bases[n])
			if !changed || len(a.GetPorts()) != 1 {
				b.Fatalf("node %d was sent %v", n, text(a))
			}
			bases[n] = next
		}
	}
}

// BenchmarkQuietReport is one task's report that changes no mesh: the most
// frequent change of all.
func BenchmarkQuietReport(b *testing.B) {
	w := benchWorld(b)
	b.ResetTimer()
	for i := range b.N {
		w.apply(state.ObserveTask("t00000", &clusterpb.TaskStatus{State: lifecycle.Running, Message: fmt.Sprint(i)}))
	}
}

// BenchmarkFullSets is every node asking for everything at once, as after a
// change of leader.
func BenchmarkFullSets(b *testing.B) {
	w := benchWorld(b)
	b.ResetTimer()
	for range b.N {
		for n := range benchNodes {
			w.plan.Set(fmt.Sprintf("n%04d", n)).Full()
		}
	}
}
