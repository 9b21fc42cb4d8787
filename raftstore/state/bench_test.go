package state_test

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
	"github.com/muster/muster/raftstore/storetest"
)

// populate returns a state with so many running tasks on 100 nodes.
func populate(t testing.TB, tasks int) *state.State {
	t.Helper()
	spec := &clusterpb.TaskSpec{Containers: []*clusterpb.ContainerSpec{{
		Image: "docker.io/library/nginx:latest", Env: []string{"A=1", "B=2", "C=3"}, Labels: map[string]string{"team": "web"},
	}}}
	first := changes(cluster(), storetest.Ingress("10.0.0.0/8"), state.PutService(&raftpb.PutService{Id: "s1", Spec: &clusterpb.ServiceSpec{Name: "web", Task: spec}}))
	for i := range 100 {
		first = append(first, node(fmt.Sprintf("n%d", i)))
	}
	s := storetest.State(t, first...)
	for from := 0; from < tasks; from += 1000 {
		var c []*raftpb.Change
		for i := from; i < min(from+1000, tasks); i++ {
			id := taskID(i)
			c = append(c,
				state.CreateTask(&clusterpb.Task{Id: id, ServiceId: "s1", Slot: uint32(i), Spec: spec, Desired: lifecycle.Running}),
				state.AssignTask(id, fmt.Sprintf("n%d", i%100), storetest.Attached(fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255))),
				observe(id, lifecycle.Starting))
		}
		s = storetest.Apply(t, s, c...)
	}
	return s
}

func taskID(i int) string { return fmt.Sprintf("%025d", i) }

// BenchmarkApply folds statuses of 10,000 tasks, one a command, as they come
// from the log.
func BenchmarkApply(b *testing.B) {
	s := populate(b, 10_000)
	// Two rounds in turn, for a status that is known already is skipped.
	var rounds [2][][]byte
	for turn := range rounds {
		for i := range 64 {
			status := &clusterpb.TaskStatus{State: lifecycle.Starting, Message: fmt.Sprintf("check %d failed", turn)}
			data, err := proto.Marshal(&raftpb.Command{
				ProposedAt: timestamppb.Now(),
				Changes:    changes(state.ObserveTask(taskID(i*150), status)),
			})
			if err != nil {
				b.Fatal(err)
			}
			rounds[turn] = append(rounds[turn], data)
		}
	}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		for _, data := range rounds[n%2] {
			cmd := new(raftpb.Command)
			if err := proto.Unmarshal(data, cmd); err != nil {
				b.Fatal(err)
			}
			s, _ = s.Apply(s.Index+1, cmd)
		}
	}
	b.ReportMetric(float64(b.N)*64/b.Elapsed().Seconds(), "commands/s")
}

// BenchmarkSnapshot writes and reads 100,000 tasks.
func BenchmarkSnapshot(b *testing.B) {
	s := populate(b, 100_000)
	raw := storetest.Snapshot(b, s)
	b.Run("write", func(b *testing.B) {
		b.SetBytes(int64(len(raw)))
		for b.Loop() {
			storetest.Snapshot(b, s)
		}
	})
	b.Run("read", func(b *testing.B) {
		b.SetBytes(int64(len(raw)))
		for b.Loop() {
			if _, err := state.ReadSnapshot(bytes.NewReader(raw)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkStateMemory measures what a running task takes.
func BenchmarkStateMemory(b *testing.B) {
	const tasks = 20_000
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for b.Loop() {
		before := heap()
		s := populate(b, tasks)
		b.ReportMetric(float64(heap()-before)/tasks, "B/task")
		runtime.KeepAlive(s)
	}
}

// BenchmarkTasksOf ranges over a service of 1,000 tasks.
func BenchmarkTasksOf(b *testing.B) {
	s := populate(b, 1000)
	start := time.Now()
	for b.Loop() {
		n := 0
		for range s.TasksOf("s1") {
			n++
		}
		if n != 1000 {
			b.Fatal(n)
		}
	}
	b.ReportMetric(float64(time.Since(start).Nanoseconds())/float64(b.N)/1000, "ns/task")
}
