package service_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster/muster/manager/api/apitest"
	"github.com/muster/muster/manager/api/service"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/pod"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
	"github.com/muster/muster/raftstore/storetest"
)

// store holds service s1, which is called web.
type store struct {
	*apitest.Store

	t *testing.T
}

func newStore(t *testing.T, spec *clusterpb.ServiceSpec) *store {
	t.Helper()
	return &store{apitest.New(t, state.PutService(&raftpb.PutService{Id: "s1", Spec: spec})), t}
}

// serve is the API on a store, without orchestrators to foretell anything and
// without nodes that would be behind.
func serve(s service.Store) *service.Server {
	return &service.Server{
		Store:        s,
		Preview:      func(*state.State, *clusterpb.Service, *clusterpb.Service) []*controlpb.PlannedSlot { return nil },
		LowWaterMark: func() (uint64, <-chan struct{}) { return math.MaxUint64, nil },
	}
}

func (s *store) service() *clusterpb.Service {
	svc, _ := s.State().Service("s1")
	return svc
}

// rollout puts an update where a test needs it.
func (s *store) rollout(u *clusterpb.UpdateStatus) {
	s.t.Helper()
	svc := proto.CloneOf(s.service())
	pod.Main(svc.GetSpec().GetTask()).Image = "nginx:2"
	s.Commit(storetest.PutService(svc))
	s.Commit(state.SetUpdateStatus(s.service(), u))
}

func web() *clusterpb.ServiceSpec {
	return &clusterpb.ServiceSpec{
		Name: "web", Task: &clusterpb.TaskSpec{Containers: []*clusterpb.ContainerSpec{{Image: "nginx:1"}}},
		Mode: &clusterpb.ServiceSpec_Replicated{Replicated: &clusterpb.ReplicatedMode{Replicas: 3}},
	}
}

// progresses is what the updater commits all the time.
func progresses(st *state.State) *raftpb.Change {
	svc, _ := st.Service("s1")
	u := proto.CloneOf(svc.GetUpdate())
	u.Message = fmt.Sprint("step ", st.Index)
	return state.SetUpdateStatus(svc, u)
}

// scales is what another user does.
func scales(st *state.State) *raftpb.Change {
	svc, _ := st.Service("s1")
	svc = proto.CloneOf(svc)
	svc.GetSpec().GetReplicated().Replicas++
	return storetest.PutService(svc)
}

// The states of a rollout, and the actions, under short names.
const (
	updating         = clusterpb.UpdateStatus_STATE_UPDATING
	paused           = clusterpb.UpdateStatus_STATE_PAUSED
	completed        = clusterpb.UpdateStatus_STATE_COMPLETED
	rollbackStarted  = clusterpb.UpdateStatus_STATE_ROLLBACK_STARTED
	rollbackPaused   = clusterpb.UpdateStatus_STATE_ROLLBACK_PAUSED
	canariesWait     = clusterpb.UpdateStatus_STATE_CANARY
	pauseRollout     = controlpb.ControlRolloutRequest_ACTION_PAUSE
	resumeRollout    = controlpb.ControlRolloutRequest_ACTION_RESUME
	promoteRollout   = controlpb.ControlRolloutRequest_ACTION_PROMOTE
	restartByRollout = controlpb.ControlRolloutRequest_ACTION_RESTART
)

func TestControlRollout(t *testing.T) {
	tests := map[string]struct {
		state, from clusterpb.UpdateStatus_State
		canary      uint32
		action      controlpb.ControlRolloutRequest_Action
		want        clusterpb.UpdateStatus_State
		refused     string
	}{
		"pause":                      {state: updating, action: pauseRollout, want: paused},
		"pause a rollback":           {state: rollbackStarted, action: pauseRollout, want: rollbackPaused},
		"pause canaries":             {state: canariesWait, canary: 1, action: pauseRollout, want: paused},
		"pause twice":                {state: paused, action: pauseRollout, refused: "paused already"},
		"pause nothing":              {state: completed, action: pauseRollout, refused: "no rollout is under way"},
		"resume":                     {state: paused, from: updating, action: resumeRollout, want: updating},
		"resume canaries":            {state: paused, from: canariesWait, canary: 1, action: resumeRollout, want: canariesWait},
		"resume a rollback":          {state: rollbackPaused, from: rollbackStarted, action: resumeRollout, want: rollbackStarted},
		"resume, not known what":     {state: paused, action: resumeRollout, want: updating},
		"resume, a rollback surely":  {state: rollbackPaused, action: resumeRollout, want: rollbackStarted},
		"resume nothing":             {state: updating, action: resumeRollout, refused: "no rollout is paused"},
		"promote":                    {state: canariesWait, canary: 1, action: promoteRollout, want: canariesWait},
		"promote what is not proved": {state: updating, canary: 1, action: promoteRollout, refused: "canaries have not all run for long enough yet"},
		"promote nothing":            {state: updating, action: promoteRollout, refused: "no canary waits to be promoted"},
		"restart":                    {state: completed, action: restartByRollout, want: updating},
		"no action":                  {state: updating, refused: "rollout action"},
	}
	for name, tt := range tests {
		// However often the updater moves on in between, up to a bound.
		for _, races := range []int{0, 1, 5} {
			t.Run(fmt.Sprintf("%s after %d races", name, races), func(t *testing.T) {
				spec := web()
				spec.Update = &clusterpb.UpdateConfig{Canary: tt.canary}
				s := newStore(t, spec)
				s.rollout(&clusterpb.UpdateStatus{State: tt.state, PausedFrom: tt.from})
				for range races {
					race := progresses
					if tt.action == restartByRollout {
						race = scales // progress does not disturb who edits the spec
					}
					s.Races = append(s.Races, race)
				}
				server := serve(s)
				r, err := server.ControlRollout(t.Context(), &controlpb.ControlRolloutRequest{Service: "web", Action: tt.action})
				if tt.refused != "" {
					if err == nil || !strings.Contains(err.Error(), tt.refused) || errdefs.IsConflict(err) {
						t.Errorf("got %v, want it refused: %s", err, tt.refused)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if got := s.service().GetUpdate(); got.GetState() != tt.want || r.GetService().GetUpdate().GetState() != tt.want {
					t.Errorf("the rollout is %s, answered %s, want %s", got.GetState(), r.GetService().GetUpdate().GetState(), tt.want)
				}
				if got, want := s.service().GetUpdate().GetPromoted(), tt.action == promoteRollout; got != want {
					t.Errorf("promoted is %v", got)
				}
			})
		}
	}
}

// TestOvertakenByAnUpdate: the rollout that was to be paused is no more, the
// next one is.
func TestOvertakenByAnUpdate(t *testing.T) {
	s := newStore(t, web())
	s.rollout(&clusterpb.UpdateStatus{State: updating})
	s.Races = append(s.Races, func(st *state.State) *raftpb.Change {
		svc, _ := st.Service("s1")
		svc = proto.CloneOf(svc)
		pod.Main(svc.GetSpec().GetTask()).Image = "nginx:3"
		return storetest.PutService(svc)
	})
	ctx := apitest.Request(t, "r1")
	for range 2 { // repeated, it is answered alike
		r, err := serve(s).ControlRollout(ctx, &controlpb.ControlRolloutRequest{Service: "web", Action: pauseRollout})
		if err != nil || r.GetService().GetUpdate().GetState() != paused || s.service().GetUpdate().GetState() != paused {
			t.Errorf("the rollout is %s, answered %v, %v", s.service().GetUpdate().GetState(), r.GetService().GetUpdate(), err)
		}
	}
}

// TestRaceWithoutEnd is given up, and said.
func TestRaceWithoutEnd(t *testing.T) {
	s := newStore(t, web())
	s.rollout(&clusterpb.UpdateStatus{State: updating})
	for range 1000 {
		s.Races = append(s.Races, progresses)
	}
	server := serve(s)
	_, err := server.ControlRollout(t.Context(), &controlpb.ControlRolloutRequest{Service: "web", Action: pauseRollout})
	if !errdefs.IsConflict(err) || len(s.Races) < 900 {
		t.Errorf("got %v after %d tries", err, 1000-len(s.Races))
	}
}

// TestRollbackRaces: a spec that was named is put back whoever was faster, but
// nobody goes back from a version that he has not seen.
func TestRollbackRaces(t *testing.T) {
	for name, version := range map[string]bool{"any version": false, "the version seen": true} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t, web())
			s.rollout(&clusterpb.UpdateStatus{State: completed})
			r := &controlpb.RollbackServiceRequest{Service: "web", To: 1}
			if version {
				r.Version = s.service().GetVersion()
			}
			s.Races = append(s.Races, scales)
			_, err := serve(s).RollbackService(t.Context(), r)
			image := pod.Main(s.service().GetSpec().GetTask()).GetImage()
			if version != errdefs.IsConflict(err) || version == (image == "nginx:1") {
				t.Errorf("got %v, image %s", err, image)
			}
		})
	}
}

// TestRollbackTarget is the last spec that was rolled out whole, or the one
// named; nothing twice in a row.
func TestRollbackTarget(t *testing.T) {
	tests := map[string]struct {
		auto    bool // the update was rolled back by the cluster
		updated bool // there was one
		to      uint64
		image   string
		refused string
	}{
		"the one before":           {updated: true, image: "nginx:1"},
		"by number":                {updated: true, to: 1, image: "nginx:1"},
		"nothing before":           {refused: "no earlier spec to roll back to"},
		"a number that is gone":    {updated: true, to: 7, refused: "no spec number 7: it keeps 1 to 1"},
		"what failed":              {updated: true, auto: true, refused: "was just rolled back: name the spec to go to (--to 1 to 2)"},
		"what failed, by its name": {updated: true, auto: true, to: 2, image: "nginx:2"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newStore(t, web())
			if tt.updated {
				s.rollout(&clusterpb.UpdateStatus{State: updating})
			}
			if tt.auto {
				svc := s.service()
				u := &clusterpb.UpdateStatus{State: rollbackStarted}
				s.Commit(state.RollBack("s1", svc.GetSpecVersion(), u, svc.GetHistory()[0]))
			}
			r := &controlpb.RollbackServiceRequest{Service: "web", To: tt.to}
			_, err := serve(s).RollbackService(t.Context(), r)
			switch {
			case tt.refused != "":
				if err == nil || !strings.Contains(err.Error(), tt.refused) {
					t.Errorf("got %v, want it refused: %s", err, tt.refused)
				}
			case err != nil:
				t.Error(err)
			case pod.Main(s.service().GetSpec().GetTask()).GetImage() != tt.image || s.service().GetUpdate().GetState() != rollbackStarted:
				t.Errorf("went to %v", s.service())
			}
		})
	}
}

// TestResumeGivesTimeAnew: what was begun has all of its progress deadline
// before it, what failed is tried again, and what is done stays so.
func TestResumeGivesTimeAnew(t *testing.T) {
	long := timestamppb.New(time.Now().Add(-time.Hour))
	s := newStore(t, web())
	s.rollout(&clusterpb.UpdateStatus{State: paused, PausedFrom: updating, Slots: 3, Progress: []*clusterpb.SlotUpdate{
		{Slot: 1, StartedAt: long, DoneAt: long}, {Slot: 2, StartedAt: long}, {Slot: 3, StartedAt: long, DoneAt: long, Failed: true},
	}})
	before := time.Now()
	r := &controlpb.ControlRolloutRequest{Service: "web", Action: resumeRollout}
	if _, err := serve(s).ControlRollout(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	progress := s.service().GetUpdate().GetProgress()
	if len(progress) != 2 {
		t.Fatalf("%d slots are begun, want 2: %v", len(progress), progress)
	}
	if done := progress[0]; done.GetDoneAt() == nil {
		t.Errorf("slot 1, which was done, is %v", done)
	}
	if at := s.service().GetUpdate().GetResumedAt(); at.AsTime().Before(before) {
		t.Errorf("it counts as resumed %s ago", time.Since(at.AsTime()))
	}
}

func TestHostPortWarnings(t *testing.T) {
	host := &clusterpb.Port{Protocol: clusterpb.Port_PROTOCOL_TCP, Target: 80, Published: 8080, Mode: clusterpb.Port_MODE_HOST}
	meshed := &clusterpb.Port{Protocol: clusterpb.Port_PROTOCOL_TCP, Target: 80, Published: 8080, Mode: clusterpb.Port_MODE_INGRESS}
	chosen := &clusterpb.Port{Protocol: clusterpb.Port_PROTOCOL_TCP, Target: 80, Mode: clusterpb.Port_MODE_HOST}
	startFirst := &clusterpb.UpdateConfig{Order: clusterpb.UpdateConfig_ORDER_START_FIRST}
	tests := map[string]struct {
		port             *clusterpb.Port
		update, rollback *clusterpb.UpdateConfig
		want             string
	}{
		"start-first":             {host, startFirst, nil, "8080/tcp is published with mode=host, which two tasks on a node cannot share: updates and rollbacks stop"},
		"rollback is start-first": {host, nil, startFirst, "updates and rollbacks stop a task before they start the next"},
		"canaries":                {host, &clusterpb.UpdateConfig{Canary: 1}, nil, "canaries need nodes of their own, and answer there before"},
		"stop-first":              {host, nil, nil, ""},
		"in the mesh":             {meshed, startFirst, nil, ""},
		"any port of the node":    {chosen, startFirst, nil, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newStore(t, web())
			spec := web()
			spec.Name, spec.Ports, spec.Update, spec.Rollback = "db", []*clusterpb.Port{tt.port}, tt.update, tt.rollback
			r, err := serve(s).CreateService(t.Context(), &controlpb.CreateServiceRequest{Spec: spec, Resolve: controlpb.ResolveImages_RESOLVE_IMAGES_NEVER})
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(r.GetWarnings(), "\n")
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("warnings %q, want %q", got, tt.want)
			}
		})
	}
}
