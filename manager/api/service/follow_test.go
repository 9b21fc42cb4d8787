package service_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/page"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/proto/rollout"
	"github.com/muster/muster/raftstore/state"
	"github.com/muster/muster/raftstore/storetest"
)

// follower receives what FollowService sends.
type follower struct {
	grpc.ServerStream
	ctx  context.Context
	sent chan *controlpb.FollowServiceResponse
}

func (f *follower) Context() context.Context { return f.ctx }

// Send takes what there is room for, also of a client that went away.
func (f *follower) Send(r *controlpb.FollowServiceResponse) error {
	select {
	case f.sent <- r:
		return nil
	default:
	}
	select {
	case f.sent <- r:
		return nil
	case <-f.ctx.Done():
		return f.ctx.Err()
	}
}

// TestFollowService sends what concerns the service, until it is gone.
func TestFollowService(t *testing.T) {
	store := storetest.New(t)
	commit := func(c *raftpb.Change) {
		t.Helper()
		if err := store.Propose(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	commit(state.PutService(&raftpb.PutService{Id: "s1", Spec: private()}))
	commit(state.PutService(&raftpb.PutService{Id: "s2", Spec: called("other")}))
	f := &follower{ctx: t.Context(), sent: make(chan *controlpb.FollowServiceResponse)}
	ended := make(chan error, 1)
	go func() { ended <- serve(store).FollowService(&controlpb.FollowServiceRequest{Service: "web"}, f) }()

	first := <-f.sent
	if first.GetService().GetId() != "s1" || len(first.GetTasks()) != 0 {
		t.Errorf("first %v", first)
	}
	commit(state.DeleteService("s2")) // is nothing to web
	commit(state.CreateTask(&clusterpb.Task{Id: "t1", ServiceId: "s1", Slot: 1, Desired: lifecycle.Running, Spec: private().GetTask()}))
	second := <-f.sent
	if len(second.GetTasks()) != 1 {
		t.Errorf("then %v", second)
	}
	commit(state.DeleteService("s1"))
	last := <-f.sent
	if last.GetService() != nil {
		t.Errorf("at last %v", last)
	}
	if err := <-ended; err != nil {
		t.Errorf("ended: %v", err)
	}
	hides(t, first, second, last)
}

// marks is the low-water mark of nodes.
type marks struct {
	mu    sync.Mutex
	mark  uint64
	risen chan struct{}
}

func (m *marks) lowWaterMark() (uint64, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mark, m.risen
}

func (m *marks) rise(to uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.risen)
	m.mark, m.risen = to, make(chan struct{})
}

// TestFollowServiceTellsWhenNodesRoute: what is sent is sent again once the
// kernels of all nodes hold it, and only then.
func TestFollowServiceTellsWhenNodesRoute(t *testing.T) {
	store := storetest.New(t)
	commit := func(c *raftpb.Change) uint64 {
		t.Helper()
		if err := store.Propose(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		return store.State().Index
	}
	made := commit(state.PutService(&raftpb.PutService{Id: "s1", Spec: web()}))
	nodes := &marks{mark: made - 1, risen: make(chan struct{})}
	api := serve(store)
	api.LowWaterMark = nodes.lowWaterMark
	f := &follower{ctx: t.Context(), sent: make(chan *controlpb.FollowServiceResponse)}
	ended := make(chan error, 1)
	go func() { ended <- api.FollowService(&controlpb.FollowServiceRequest{Service: "web"}, f) }()
	expect := func(what string, tasks int, routed bool) {
		t.Helper()
		if got := <-f.sent; len(got.GetTasks()) != tasks || got.GetRouted() != routed {
			t.Errorf("%s: %d tasks, routed %t, want %d and %t", what, len(got.GetTasks()), got.GetRouted(), tasks, routed)
		}
	}
	expect("at first", 0, false)
	nodes.rise(made)
	expect("once nodes hold it", 0, true)
	started := commit(state.CreateTask(&clusterpb.Task{Id: "t1", ServiceId: "s1", Slot: 1, Desired: lifecycle.Running, Spec: web().GetTask()}))
	expect("with a task", 1, false)
	nodes.rise(started - 1) // says nothing of the task
	nodes.rise(started)
	expect("once nodes hold that", 0, true) // it has not changed
	commit(state.DeleteService("s1"))
	<-f.sent
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestFollowManyTasks: all of them are told of in messages of a bounded size,
// then each change alone.
func TestFollowManyTasks(t *testing.T) {
	const most = 65_533
	store := storetest.New(t)
	commit := func(changes ...*raftpb.Change) {
		t.Helper()
		if err := store.Propose(t.Context(), changes...); err != nil {
			t.Fatal(err)
		}
	}
	commit(state.PutService(&raftpb.PutService{Id: "s1", Spec: web()}))
	var changes []*raftpb.Change
	for i := range most {
		changes = append(changes, state.CreateTask(&clusterpb.Task{
			Id: fmt.Sprintf("t%05d", i), ServiceId: "s1", ServiceName: "web", Slot: uint32(i + 1), Desired: lifecycle.Running, Spec: web().GetTask(),
			Status: &clusterpb.TaskStatus{State: lifecycle.Pending, Err: strings.Repeat("no node fits: ", 70)},
		}))
	}
	for part := range slices.Chunk(changes, 1000) {
		commit(part...)
	}
	f := &follower{ctx: t.Context(), sent: make(chan *controlpb.FollowServiceResponse)}
	ended := make(chan error, 1)
	go func() { ended <- serve(store).FollowService(&controlpb.FollowServiceRequest{Service: "web"}, f) }()
	for tasks := 0; tasks < most; {
		r := <-f.sent
		tasks += len(r.GetTasks())
		if n := proto.Size(r); n > 2*page.MostBytes || r.GetMore() == (tasks == most) || r.GetMore() == (r.GetService() != nil) {
			t.Fatalf("a message of %d bytes, %d tasks so far, more: %t", n, tasks, r.GetMore())
		}
	}
	commit(state.ObserveTask("t00007", &clusterpb.TaskStatus{State: lifecycle.Failed}), state.DeleteTask("t00009"))
	if r := <-f.sent; len(r.GetTasks()) != 1 || !slices.Equal(r.GetRemoved(), []string{"t00009"}) {
		t.Errorf("of two changes it tells %d tasks and %q", len(r.GetTasks()), r.GetRemoved())
	}
	commit(state.DeleteService("s1"))
	if r := <-f.sent; r.GetService() != nil || r.GetMore() {
		t.Errorf("at last %v", r)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestFollowRolloutOfManySlots: what a step of a rollout costs who follows it
// grows with the step, not with the service.
func TestFollowRolloutOfManySlots(t *testing.T) {
	const most = 65_533
	store := storetest.New(t)
	commit := func(c *raftpb.Change) {
		t.Helper()
		if err := store.Propose(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	long := web()
	long.Task.Containers[0].Env = []string{"LONG=" + strings.Repeat("x", 100<<10)}
	commit(state.PutService(&raftpb.PutService{Id: "s1", Spec: long}))
	made, _ := store.State().Service("s1")
	next := web()
	next.Task.Containers[0].Image = "nginx:2"
	commit(state.PutService(&raftpb.PutService{Id: "s1", Version: made.GetVersion(), Spec: next}))
	// step records how far slots are, which the state has, beside others.
	step := func(slots ...*clusterpb.SlotUpdate) {
		t.Helper()
		svc, _ := store.State().Service("s1")
		u := proto.CloneOf(svc.GetUpdate())
		u.Progress = rollout.Merge(u.GetProgress(), slots, nil)
		commit(state.SetUpdateStatus(svc, u))
	}
	var all []*clusterpb.SlotUpdate
	for i := range most {
		all = append(all, &clusterpb.SlotUpdate{Slot: uint32(i + 1), Failed: true, TaskId: fmt.Sprint("t", i), Err: "exit status 1"})
	}
	for part := range slices.Chunk(all, 10_000) {
		step(part...)
	}
	f := &follower{ctx: t.Context(), sent: make(chan *controlpb.FollowServiceResponse)}
	ended := make(chan error, 1)
	go func() { ended <- serve(store).FollowService(&controlpb.FollowServiceRequest{Service: "web"}, f) }()
	for slots := 0; slots < most; {
		r := <-f.sent
		slots += len(r.GetProgress())
		if n := proto.Size(r); n > page.MostBytes || r.GetMore() == (slots == most) {
			t.Fatalf("a message of %d bytes, %d slots so far, more: %t", n, slots, r.GetMore())
		}
	}
	step(&clusterpb.SlotUpdate{Slot: 7})
	r := <-f.sent
	if n := proto.Size(r); n > 4<<10 || len(r.GetProgress()) != 1 || r.GetProgress()[0].GetSlot() != 7 || r.GetService().GetUpdate() == nil {
		t.Fatalf("of a step of one slot it tells %d bytes and %d slots", n, len(r.GetProgress()))
	}
	svc, _ := store.State().Service("s1")
	if len(svc.GetHistory()) == 0 || len(svc.GetUpdate().GetProgress()) != most {
		t.Error("what is not told is lost to the state")
	}
	commit(state.PutService(&raftpb.PutService{Id: "s1", Version: svc.GetVersion(), Spec: long})) // a rollout that begins anew
	if r := <-f.sent; len(r.GetDropped()) != most || len(r.GetProgress()) != 0 {
		t.Fatalf("of the next rollout it tells %d slots, and that %d are no more", len(r.GetProgress()), len(r.GetDropped()))
	}
	commit(state.DeleteService("s1"))
	if r := <-f.sent; r.GetService() != nil {
		t.Errorf("at last %v", r)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestFollowEnds(t *testing.T) {
	store := storetest.New(t)
	f := &follower{ctx: t.Context(), sent: make(chan *controlpb.FollowServiceResponse, 1)}
	if err := serve(store).FollowService(&controlpb.FollowServiceRequest{Service: "nope"}, f); !errdefs.IsNotFound(err) {
		t.Errorf("an unknown one: %v", err)
	}
	if err := store.Propose(t.Context(), state.PutService(&raftpb.PutService{Id: "s1", Spec: web()})); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	f.ctx = ctx
	cancel()
	if err := serve(store).FollowService(&controlpb.FollowServiceRequest{Service: "web"}, f); err != nil {
		t.Errorf("a client that went away: %v", err)
	}
}
