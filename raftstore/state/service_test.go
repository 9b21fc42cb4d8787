package state_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/pod"
	"github.com/muster/muster/proto/port"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
	"github.com/muster/muster/raftstore/storetest"
)

// edit proposes a change of the spec of service s1 as a user would: read, change,
// write with the version read.
func edit(t *testing.T, s *state.State, f func(*clusterpb.Service)) *state.State {
	t.Helper()
	svc := proto.CloneOf(get(t, s))
	f(svc)
	return storetest.Apply(t, s, storetest.PutService(svc))
}

// get returns service s1.
func get(t *testing.T, s *state.State) *clusterpb.Service {
	t.Helper()
	svc, ok := s.Service("s1")
	if !ok {
		t.Fatal("no service s1")
	}
	return svc
}

func setReplicas(n uint32) func(*clusterpb.Service) {
	return func(s *clusterpb.Service) {
		s.Spec.Mode = &clusterpb.ServiceSpec_Replicated{Replicated: &clusterpb.ReplicatedMode{Replicas: n}}
	}
}

func setImage(image string) func(*clusterpb.Service) {
	return func(s *clusterpb.Service) { pod.Main(s.Spec.Task).Image = image }
}

// resolved is service s1 with its image resolved.
func resolved(pinned string) *raftpb.Change {
	c := service("s1", "web", ingress(80))
	c.GetPutService().Images = nginx(pinned)
	return c
}

func resolve(pinned string) func(*clusterpb.Service) {
	return func(s *clusterpb.Service) { s.Images = nginx(pinned) }
}

func nginx(pinned string) []*clusterpb.ResolvedImage {
	return []*clusterpb.ResolvedImage{{
		Image: "nginx", Pinned: pinned, Platforms: []*clusterpb.Platform{{Os: "linux", Architecture: "amd64"}},
	}}
}

func TestSpecVersionMovesWhenTasksMustBeReplaced(t *testing.T) {
	tests := map[string]struct {
		edit  func(*clusterpb.Service)
		moves bool
	}{
		"image":         {setImage("nginx:2"), true},
		"restart":       {func(s *clusterpb.Service) { s.Restarts++ }, true},
		"port added":    {func(s *clusterpb.Service) { s.Spec.Ports = append(s.Spec.Ports, target(81, ingress(81))) }, true},
		"port removed":  {func(s *clusterpb.Service) { s.Spec.Ports = nil }, true},
		"replicas":      {setReplicas(5), false},
		"label":         {func(s *clusterpb.Service) { s.Spec.Labels = map[string]string{"a": "b"} }, false},
		"update config": {func(s *clusterpb.Service) { s.Spec.Update = &clusterpb.UpdateConfig{Canary: 1} }, false},
		"nothing":       {func(*clusterpb.Service) {}, false},
		"tag moved":     {resolve("nginx:latest@sha256:2"), true},
		"platforms":     {func(s *clusterpb.Service) { s.Images[0].Platforms = nil }, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := storetest.State(t, resolved("nginx:latest@sha256:1"))
			s = edit(t, s, tt.edit)
			svc := get(t, s)
			if svc.GetVersion() != 2 {
				t.Errorf("version %d, want 2", svc.GetVersion())
			}
			want, update := uint64(1), (*clusterpb.UpdateStatus)(nil)
			if tt.moves {
				want = 2
				update = &clusterpb.UpdateStatus{
					State: clusterpb.UpdateStatus_STATE_UPDATING, Version: 2, StartedAt: svc.GetUpdatedAt(),
				}
			}
			if svc.GetSpecVersion() != want {
				t.Errorf("spec version %d, want %d", svc.GetSpecVersion(), want)
			}
			if d := cmp.Diff(update, svc.GetUpdate(), protocmp.Transform()); d != "" {
				t.Errorf("update (-want +got):\n%s", d)
			}
		})
	}
}

func TestServiceKeepsWhatWritersMayNotChange(t *testing.T) {
	s := storetest.State(t, service("s1", "web"))
	made := get(t, s).GetCreatedAt().AsTime()
	s = edit(t, s, func(svc *clusterpb.Service) {
		svc.CreatedAt, svc.SpecVersion, svc.Update = nil, 77, &clusterpb.UpdateStatus{Version: 1, Slots: 9}
		svc.History = []*clusterpb.SpecRecord{{Number: 99}}
	})
	svc := get(t, s)
	if !svc.GetCreatedAt().AsTime().Equal(made) || svc.GetSpecVersion() != 1 || svc.GetUpdate() != nil || len(svc.GetHistory()) != 0 {
		t.Errorf("got %v", svc)
	}
	if want := made.Add(time.Second); !svc.GetUpdatedAt().AsTime().Equal(want) {
		t.Errorf("updated at %v, want %v", svc.GetUpdatedAt().AsTime(), want)
	}
}

func TestWriterMayCallARolloutARollback(t *testing.T) {
	s := storetest.State(t, service("s1", "web"))
	svc := proto.CloneOf(get(t, s))
	setImage("nginx:2")(svc)
	s = storetest.Apply(t, s, state.PutService(&raftpb.PutService{
		Id: "s1", Version: svc.GetVersion(), Spec: svc.GetSpec(), Rollback: true, Message: "by hand",
	}))
	u := get(t, s).GetUpdate()
	if u.GetState() != clusterpb.UpdateStatus_STATE_ROLLBACK_STARTED || u.GetMessage() != "by hand" || u.GetStartedAt() == nil {
		t.Errorf("got %v", u)
	}
	s = edit(t, s, setImage("nginx:3"))
	if u := get(t, s).GetUpdate(); u.GetState() != clusterpb.UpdateStatus_STATE_UPDATING || u.GetMessage() != "" {
		t.Errorf("after the next update: %v", u)
	}
}

func status(s clusterpb.UpdateStatus_State, version uint64) *clusterpb.UpdateStatus {
	return &clusterpb.UpdateStatus{State: s, Version: version}
}

func TestProgressDoesNotDisturbWhoEditsTheSpec(t *testing.T) {
	s := storetest.State(t, service("s1", "web"))
	s = edit(t, s, setImage("nginx:2"))
	read := proto.CloneOf(get(t, s))
	s = storetest.Apply(t, s, state.SetUpdateStatus(&clusterpb.Service{Id: "s1", SpecVersion: 2}, status(clusterpb.UpdateStatus_STATE_UPDATING, 2)))
	if got := get(t, s); got.GetVersion() != read.GetVersion() || got.GetUpdate().GetVersion() != 3 {
		t.Errorf("version %d, update version %d; want %d and 3", got.GetVersion(), got.GetUpdate().GetVersion(), read.GetVersion())
	}
	setReplicas(5)(read)
	storetest.Apply(t, s, storetest.PutService(read))
}

func TestPauseIsNotOverwrittenByOlderProgress(t *testing.T) {
	s := storetest.State(t, service("s1", "web"), task("t1", "s1"))
	s = edit(t, s, setImage("nginx:2"))
	s = storetest.Apply(t, s, state.SetUpdateStatus(&clusterpb.Service{Id: "s1", SpecVersion: 2}, status(clusterpb.UpdateStatus_STATE_PAUSED, 2)))
	next, err := storetest.TryAt(s, s.Time,
		state.SetUpdateStatus(&clusterpb.Service{Id: "s1", SpecVersion: 2}, status(clusterpb.UpdateStatus_STATE_UPDATING, 2)),
		state.DeleteTask("t1"))
	if err == nil {
		t.Error("older progress was taken")
	}
	if _, ok := next.Task("t1"); !ok {
		t.Error("the step that went with older progress was taken")
	}
	// Version 0 is for who means it whatever is there.
	s = storetest.Apply(t, s, state.SetUpdateStatus(&clusterpb.Service{Id: "s1", SpecVersion: 2}, status(clusterpb.UpdateStatus_STATE_UPDATING, 0)))
	if got := get(t, s).GetUpdate().GetState(); got != clusterpb.UpdateStatus_STATE_UPDATING {
		t.Errorf("state %v", got)
	}
}

func TestRollBack(t *testing.T) {
	s := storetest.State(t, service("s1", "web", ingress(0)))
	s = edit(t, s, setImage("nginx:2"))
	first := get(t, s).GetHistory()[0]
	s = storetest.Apply(t, s, state.RollBack("s1", 2, status(clusterpb.UpdateStatus_STATE_ROLLBACK_STARTED, 2), first))
	svc := get(t, s)
	if svc.GetSpecVersion() != 3 || svc.GetVersion() != 3 || pod.Main(svc.GetSpec().GetTask()).GetImage() != "nginx" {
		t.Errorf("got %v", svc)
	}
	if svc.GetUpdate().GetState() != clusterpb.UpdateStatus_STATE_ROLLBACK_STARTED || svc.GetUpdate().GetVersion() != 3 {
		t.Errorf("update %v", svc.GetUpdate())
	}
	if got := svc.GetPorts()[0].GetPublished(); got != 30000 {
		t.Errorf("published on %d, want 30000 as before", got)
	}
	if last := svc.GetHistory()[1]; last.GetNumber() != 2 || last.GetOutcome() != clusterpb.SpecRecord_OUTCOME_ROLLED_BACK {
		t.Errorf("history says of the failed spec: %v", last)
	}
}

func TestRollBackRestoresWhatImagesWere(t *testing.T) {
	s := storetest.State(t, resolved("nginx:latest@sha256:1"))
	s = edit(t, s, resolve("nginx:latest@sha256:2"))
	history := get(t, s).GetHistory()
	if len(history) != 1 || history[0].GetImages()[0].GetPinned() != "nginx:latest@sha256:1" {
		t.Fatalf("the tag moved and history says %v", history)
	}
	s = storetest.Apply(t, s, state.RollBack("s1", 2, status(clusterpb.UpdateStatus_STATE_ROLLBACK_STARTED, 2), history[0]))
	svc := get(t, s)
	if got := svc.GetImages(); svc.GetSpecVersion() != 3 || len(got) != 1 || got[0].GetPinned() != "nginx:latest@sha256:1" {
		t.Errorf("spec version %d with %v", svc.GetSpecVersion(), got)
	}
}

func TestRollBackTakesARestartBack(t *testing.T) {
	s := storetest.State(t, service("s1", "web"))
	s = edit(t, s, func(svc *clusterpb.Service) { svc.Restarts = 1 })
	history := get(t, s).GetHistory()
	if len(history) != 1 || history[0].GetRestarts() != 0 {
		t.Fatalf("restarted, and history says %v", history)
	}
	s = storetest.Apply(t, s, state.RollBack("s1", 2, status(clusterpb.UpdateStatus_STATE_ROLLBACK_STARTED, 2), history[0]))
	svc := get(t, s)
	if svc.GetRestarts() != 0 || svc.GetSpecVersion() != 3 || svc.GetHistory()[1].GetRestarts() != 1 {
		t.Errorf("got %v", svc)
	}
}

func TestRollBackToAPortGivenAwayPauses(t *testing.T) {
	s := storetest.State(t, service("s1", "web", ingress(8111)))
	first := &clusterpb.SpecRecord{Spec: get(t, s).GetSpec()}
	s = edit(t, s, func(svc *clusterpb.Service) { svc.Spec.Ports = nil })
	s = storetest.Apply(t, s, service("s2", "db", ingress(8111)))
	s = storetest.Apply(t, s, state.RollBack("s1", 2, status(clusterpb.UpdateStatus_STATE_ROLLBACK_STARTED, 2), first))
	svc := get(t, s)
	if svc.GetSpecVersion() != 2 || len(svc.GetSpec().GetPorts()) != 0 {
		t.Errorf("the spec was replaced: %v", svc)
	}
	want := &clusterpb.UpdateStatus{
		State:      clusterpb.UpdateStatus_STATE_PAUSED,
		PausedFrom: clusterpb.UpdateStatus_STATE_UPDATING,
		Message:    "cannot roll back: port 8111/tcp is published by service db",
		Version:    4,
	}
	if d := cmp.Diff(want, svc.GetUpdate(), protocmp.Transform()); d != "" {
		t.Errorf("update (-want +got):\n%s", d)
	}
}

// TestPromotion writes a task as SLOT:STATE, a leading c for a canary; what
// comes of it as SLOT:DESIRED. The canaries are all replicas from 2 on.
func TestPromotion(t *testing.T) {
	tests := map[string]struct {
		have, want string
	}{
		"a canary takes its slot":          {"1:running c1:running 2:running", "1:shutdown 1:running 2:running"},
		"what is not up goes too":          {"1:starting c1:running", "1:shutdown 1:running"},
		"one that does not serve does not": {"1:running c1:starting 2:running", "1:running 1:running 2:running"},
		"blue-green":                       {"1:running c1:running 2:running c2:running", "1:shutdown 1:running 2:shutdown 2:running"},
		"blue-green is all or nothing":     {"1:running c1:running 2:running c2:failed", "1:shutdown 1:running 2:shutdown 2:running"},
		"and never nothing":                {"1:running c1:failed 2:running c2:failed", "1:running 1:running 2:running 2:running"},
		"what has ended stays":             {"1:failed 1:running c1:running", "1:running 1:shutdown 1:running"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := storetest.State(t, service("s1", "web"))
			canaries := uint32(strings.Count(tt.have, "c"))
			s = edit(t, s, func(svc *clusterpb.Service) {
				setImage("nginx:2")(svc)
				svc.Spec.Update = &clusterpb.UpdateConfig{Canary: canaries}
			})
			for i, f := range strings.Fields(tt.have) {
				next := &clusterpb.Task{Id: fmt.Sprint("t", i), ServiceId: "s1", SpecVersion: 1, Desired: lifecycle.Running}
				if f, next.Canary = strings.CutPrefix(f, "c"); next.GetCanary() {
					next.SpecVersion = get(t, s).GetSpecVersion()
				}
				number, name, _ := strings.Cut(f, ":")
				if _, err := fmt.Sscan(number, &next.Slot); err != nil {
					t.Fatal(err)
				}
				observed, _ := lifecycle.Parse(name)
				next.Status = &clusterpb.TaskStatus{State: observed}
				s = storetest.Apply(t, s, state.CreateTask(next))
			}
			s = storetest.Apply(t, s, state.SetUpdateStatus(&clusterpb.Service{Id: "s1", SpecVersion: 2}, &clusterpb.UpdateStatus{Slots: 2}))
			s = storetest.Apply(t, s, state.SetUpdateStatus(&clusterpb.Service{Id: "s1", SpecVersion: 2}, &clusterpb.UpdateStatus{Slots: 2, Promoted: true}))
			var got []string
			for task := range s.Tasks() {
				got = append(got, fmt.Sprintf("%d:%s", task.GetSlot(), lifecycle.Name(task.GetDesired())))
				if task.GetCanary() {
					t.Errorf("task %s is still a canary", task.GetId())
				}
				if asked := task.GetDesired() == lifecycle.Shutdown; asked && task.GetDesiredIndex() != s.Index {
					t.Errorf("task %s was asked to stop at index %d, not with the promotion at %d", task.GetId(), task.GetDesiredIndex(), s.Index)
				}
			}
			if got := strings.Join(got, " "); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestHistory(t *testing.T) {
	s := storetest.State(t, service("s1", "web"))
	s = edit(t, s, setImage("nginx:2")) // number 2
	for n := range uint32(12) {
		s = edit(t, s, setReplicas(n+2)) // numbers 3 to 14
	}
	history := get(t, s).GetHistory()
	var numbers []uint64
	for _, r := range history {
		numbers = append(numbers, r.GetNumber())
	}
	// The first stays though it is oldest: it is the only way back.
	if d := cmp.Diff([]uint64{1, 5, 6, 7, 8, 9, 10, 11, 12, 13}, numbers); d != "" {
		t.Errorf("numbers (-want +got):\n%s", d)
	}
	if r := history[0]; r.GetSpecVersion() != 1 || pod.Main(r.GetSpec().GetTask()).GetImage() != "nginx" || r.GetCreatedAt() == nil {
		t.Errorf("first: %v", r)
	}
	// And goes once another was rolled out whole.
	for outcome, first := range map[clusterpb.UpdateStatus_State]uint64{
		clusterpb.UpdateStatus_STATE_UPDATING: 1, clusterpb.UpdateStatus_STATE_COMPLETED: 5,
	} {
		next := storetest.Apply(t, s, state.SetUpdateStatus(get(t, s), &clusterpb.UpdateStatus{State: outcome}))
		history = get(t, edit(t, next, setImage("nginx:3"))).GetHistory()
		if len(history) != 10 || history[0].GetNumber() != first || history[9].GetNumber() != 14 {
			t.Errorf("after another image, %s: %d records from %d to %d", outcome, len(history), history[0].GetNumber(), history[9].GetNumber())
		}
	}
}

func TestPublishedPorts(t *testing.T) {
	tests := map[string]struct {
		others []*raftpb.Change
		ports  []*clusterpb.Port
		want   []uint32
	}{
		"as written":             {nil, []*clusterpb.Port{ingress(8111)}, []uint32{8111}},
		"chosen":                 {nil, []*clusterpb.Port{ingress(0)}, []uint32{30000}},
		"two chosen":             {nil, []*clusterpb.Port{ingress(0), target(81, ingress(0))}, []uint32{30000, 30001}},
		"one per protocol":       {nil, []*clusterpb.Port{ingress(0), udp(ingress(0))}, []uint32{30000, 30000}},
		"not the one written":    {nil, []*clusterpb.Port{ingress(0), target(81, ingress(30000))}, []uint32{30001, 30000}},
		"not another's":          {changes(service("s2", "a", ingress(30000))), []*clusterpb.Port{ingress(0)}, []uint32{30001}},
		"not another's on hosts": {changes(service("s2", "a", host(30000))), []*clusterpb.Port{ingress(0)}, []uint32{30001}},
		"host chooses itself":    {nil, []*clusterpb.Port{host(0)}, []uint32{0}},
		"two on hosts":           {changes(service("s2", "a", host(8111))), []*clusterpb.Port{host(8111)}, []uint32{8111}},
		"other protocol":         {changes(service("s2", "a", udp(ingress(8111)))), []*clusterpb.Port{ingress(8111)}, []uint32{8111}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := storetest.State(t, append(tt.others, service("s1", "web", tt.ports...))...)
			var got []uint32
			for _, p := range get(t, s).GetPorts() {
				got = append(got, p.GetPublished())
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("published (-want +got):\n%s", d)
			}
		})
	}
}

func TestPublishedPortsStay(t *testing.T) {
	s := storetest.State(t, service("s2", "a", ingress(0)), service("s1", "web", ingress(0)))
	s = storetest.Apply(t, s, state.DeleteService("s2")) // frees 30000
	s = edit(t, s, setReplicas(3))
	if got := get(t, s).GetPorts()[0].GetPublished(); got != 30001 {
		t.Errorf("published on %d, want 30001 as before", got)
	}
	// What the writer gives is preferred.
	s = edit(t, s, func(svc *clusterpb.Service) { svc.Ports[0].Published = 31000 })
	if svc, ok := s.PublishedBy(port.Key{Protocol: clusterpb.Port_PROTOCOL_TCP, Number: 31000}); !ok || svc.GetId() != "s1" {
		t.Errorf("31000 is published by %v", svc)
	}
}

func TestPublishedBy(t *testing.T) {
	s := storetest.State(t, service("s1", "web", ingress(80)), service("s2", "agent", host(9100)))
	if svc, ok := s.PublishedBy(port.Key{Protocol: clusterpb.Port_PROTOCOL_TCP, Number: 80}); !ok || svc.GetId() != "s1" {
		t.Errorf("80/tcp is published by %v", svc)
	}
	if svc, ok := s.PublishedBy(port.Key{Protocol: clusterpb.Port_PROTOCOL_UDP, Number: 80}); ok {
		t.Errorf("80/udp is published by %v", svc)
	}
	if svc, ok := s.PublishedBy(port.Key{Protocol: clusterpb.Port_PROTOCOL_TCP, Number: 9100}); ok {
		t.Errorf("9100/tcp, of mode host, is published by %v", svc)
	}
	s = storetest.Apply(t, s, state.DeleteService("s1"))
	if svc, ok := s.PublishedBy(port.Key{Protocol: clusterpb.Port_PROTOCOL_TCP, Number: 80}); ok {
		t.Errorf("80/tcp of a removed service is published by %v", svc)
	}
}

func TestPortRangeExhausted(t *testing.T) {
	var ports []*clusterpb.Port
	for n := range uint32(2768) {
		ports = append(ports, target(n+1, ingress(0)))
	}
	s := storetest.State(t, service("s1", "web", ports...))
	if _, err := storetest.TryAt(s, s.Time, service("s2", "db", ingress(0))); err == nil ||
		err.Error() != "no port of 30000-32767 is free for tcp" {
		t.Errorf("got %v", err)
	}
}

// TestScaledAtCanaries: what is scaled, or asks for other canaries, is not to be
// promoted from that index on, until the updater has seen to it.
func TestScaledAtCanaries(t *testing.T) {
	waits := &clusterpb.UpdateStatus{State: clusterpb.UpdateStatus_STATE_CANARY, Message: "1 canary waits"}
	for name, tt := range map[string]struct {
		change func(*clusterpb.Service)
		want   clusterpb.UpdateStatus_State
	}{
		"scaled":   {setReplicas(7), clusterpb.UpdateStatus_STATE_UPDATING},
		"labelled": {func(s *clusterpb.Service) { s.Spec.Labels = map[string]string{"a": "b"} }, clusterpb.UpdateStatus_STATE_CANARY},
	} {
		s := edit(t, storetest.State(t, service("s1", "web")), setImage("nginx:2"))
		s = storetest.Apply(t, s, state.SetUpdateStatus(get(t, s), waits))
		version := get(t, s).GetUpdate().GetVersion()
		s = edit(t, s, tt.change)
		got := get(t, s).GetUpdate()
		if moved := got.GetVersion() == s.Index; got.GetState() != tt.want || moved == (got.GetVersion() == version) || moved != (tt.want != waits.GetState()) {
			t.Errorf("%s at index %d: %v", name, s.Index, got)
		}
	}
}
