package service_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"

	"github.com/muster/muster/manager/api/apitest"
	"github.com/muster/muster/manager/api/service"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/pod"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
)

// secret is a credential that no answer may show.
const secret = "s3cret"

// private is web with a credential.
func private() *clusterpb.ServiceSpec {
	spec := web()
	pod.Main(spec.GetTask()).RegistryAuth = secret
	return spec
}

// called is web under another name.
func called(name string) *clusterpb.ServiceSpec {
	spec := private()
	spec.Name = name
	return spec
}

// refused fails unless err is of a kind, says what it should, and is what the
// repeated request was answered too.
func refused(t *testing.T, err, again error, kind func(error) bool, want string) {
	t.Helper()
	if err == nil || !kind(err) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want it refused: %s", err, want)
	}
	if err != nil && (again == nil || again.Error() != err.Error() || !kind(again)) {
		t.Errorf("repeated: %v, first %v", again, err)
	}
}

// hides fails when an answer shows the credential.
func hides(t *testing.T, answers ...proto.Message) {
	t.Helper()
	for _, a := range answers {
		if strings.Contains(fmt.Sprint(a), secret) {
			t.Errorf("%T shows a credential", a)
		}
	}
}

func TestCreateService(t *testing.T) {
	tests := map[string]struct {
		spec *clusterpb.ServiceSpec
		kind func(error) bool
		want string
	}{
		"new":             {called("db"), nil, ""},
		"a name taken":    {called("web"), errdefs.IsAlreadyExists, `a service named "web" exists already`},
		"what may not be": {called("UPPER CASE"), errdefs.IsInvalidArgument, "UPPER CASE"},
		"nothing":         {nil, errdefs.IsInvalidArgument, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newStore(t, private())
			ctx, r := apitest.Request(t, "r1"), unresolved(tt.spec)
			resp, err := serve(s).CreateService(ctx, r)
			again, repeated := serve(s).CreateService(ctx, r)
			if tt.kind != nil {
				refused(t, err, repeated, tt.kind, tt.want)
				return
			}
			if err != nil || repeated != nil || again.GetService().GetId() != resp.GetService().GetId() {
				t.Fatalf("created %v, %v; repeated %v, %v", resp, err, again, repeated)
			}
			stored, ok := s.State().ServiceByName("db")
			if !ok || stored.GetId() != resp.GetService().GetId() || pod.Main(stored.GetSpec().GetTask()).GetRegistryAuth() != secret {
				t.Errorf("stored %v", stored)
			}
			hides(t, resp, again)
			if _, err := serve(s).CreateService(apitest.Request(t, "r2"), r); !errdefs.IsAlreadyExists(err) {
				t.Errorf("another request: %v", err)
			}
		})
	}
}

func TestUpdateService(t *testing.T) {
	changed := web() // as a reader of it would send it back: without the credential
	changed.Labels = map[string]string{"a": "b"}
	invalid := web()
	invalid.GetTask().Containers = nil
	tests := map[string]struct {
		ref    string
		spec   *clusterpb.ServiceSpec
		pinned bool
		old    bool // the version seen is no longer the current one
		races  int
		kind   func(error) bool
		want   string
	}{
		"by name":                {ref: "web", spec: changed},
		"by id":                  {ref: "s1", spec: changed, pinned: true},
		"unknown":                {ref: "nope", spec: changed, kind: errdefs.IsNotFound, want: `no service "nope"`},
		"several":                {ref: "s", spec: changed, kind: errdefs.IsInvalidArgument, want: "ambiguous"},
		"renamed":                {ref: "web", spec: called("db"), kind: errdefs.IsInvalidArgument, want: `service web cannot be renamed to "db"`},
		"what may not be":        {ref: "web", spec: invalid, kind: errdefs.IsInvalidArgument},
		"from an old version":    {ref: "web", spec: changed, pinned: true, old: true, kind: errdefs.IsConflict, want: "it has changed since; look at it again"},
		"from any version, late": {ref: "web", spec: changed, races: 2},
		"overtaken, pinned":      {ref: "web", spec: changed, pinned: true, races: 1, kind: errdefs.IsConflict, want: "was changed meanwhile"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newStore(t, private())
			s.Commit(state.PutService(&raftpb.PutService{Id: "s2", Spec: called("other")}))
			r := &controlpb.UpdateServiceRequest{Service: tt.ref, Spec: tt.spec, Resolve: controlpb.ResolveImages_RESOLVE_IMAGES_NEVER}
			if tt.pinned {
				r.Version = s.service().GetVersion()
			}
			if tt.old {
				s.Commit(scales(s.State()))
			}
			for range tt.races {
				s.Races = append(s.Races, scales)
			}
			ctx := apitest.Request(t, "r1")
			resp, err := serve(s).UpdateService(ctx, r)
			again, repeated := serve(s).UpdateService(ctx, r)
			if tt.kind != nil {
				refused(t, err, repeated, tt.kind, tt.want)
				return
			}
			if err != nil || repeated != nil || again.GetService().GetVersion() != resp.GetService().GetVersion() {
				t.Fatalf("updated %v, %v; repeated %v, %v", resp, err, again, repeated)
			}
			if got := s.service().GetSpec(); got.GetLabels()["a"] != "b" || pod.Main(got.GetTask()).GetRegistryAuth() != secret {
				t.Errorf("stored %v, want the change and the credential kept", got)
			}
			hides(t, resp, again)
		})
	}
}

// TestForcedUpdate: whoever writes the spec does not undo a restart, and who
// forces an update restarts though nothing else changed.
func TestForcedUpdate(t *testing.T) {
	s := newStore(t, web())
	before := s.service()
	update := func(plan, force bool) *clusterpb.Service {
		t.Helper()
		resp, err := serve(s).UpdateService(t.Context(), &controlpb.UpdateServiceRequest{
			Service: "web", Spec: web(), Plan: plan, Force: force, Resolve: controlpb.ResolveImages_RESOLVE_IMAGES_NEVER,
		})
		if err != nil {
			t.Fatal(err)
		}
		return resp.GetService()
	}
	if got := update(true, true).GetRestarts(); got != 1 || s.Proposals != 0 {
		t.Errorf("planned restart %d, want 1, after %d writes", got, s.Proposals)
	}
	for n := range uint64(2) {
		forced := update(false, true)
		if forced.GetRestarts() != n+1 || forced.GetSpecVersion() == before.GetSpecVersion() || !proto.Equal(forced.GetSpec(), before.GetSpec()) {
			t.Errorf("got %v, want restart %d of the same spec", forced, n+1)
		}
		if again := update(false, false); again.GetRestarts() != n+1 || again.GetSpecVersion() != forced.GetSpecVersion() {
			t.Errorf("declared again: %v, want no other restart", again)
		}
	}
}

// TestPlanChangesNothing, and tells what the orchestrators would do.
func TestPlanChangesNothing(t *testing.T) {
	s := newStore(t, private())
	server := serve(s)
	server.Preview = func(_ *state.State, svc, next *clusterpb.Service) []*controlpb.PlannedSlot {
		before, after := pod.Main(svc.GetSpec().GetTask()).GetImage(), pod.Main(next.GetSpec().GetTask()).GetImage()
		return []*controlpb.PlannedSlot{{Slot: 1, Action: before + " to " + after}}
	}
	spec := web()
	pod.Main(spec.GetTask()).Image = "nginx:2"
	r := &controlpb.UpdateServiceRequest{Service: "web", Spec: spec, Plan: true, Resolve: controlpb.ResolveImages_RESOLVE_IMAGES_NEVER}
	resp, err := server.UpdateService(t.Context(), r)
	if err != nil || len(resp.GetPlan()) != 1 || resp.GetPlan()[0].GetAction() != "nginx:1 to nginx:2" || s.Proposals != 0 {
		t.Errorf("plan %v, %v after %d writes", resp, err, s.Proposals)
	}
	hides(t, resp)
	if got := pod.Main(s.service().GetSpec().GetTask()).GetImage(); got != "nginx:1" {
		t.Errorf("the service is at %s now", got)
	}
	r.Version = 99
	if _, err := server.UpdateService(t.Context(), r); !errdefs.IsConflict(err) {
		t.Errorf("a plan for a version not seen: %v", err)
	}
}

func TestScaleService(t *testing.T) {
	for name, tt := range map[string]struct {
		ref   string
		races int
		kind  func(error) bool
	}{
		"alone":     {ref: "web"},
		"overtaken": {ref: "web", races: 3},
		"for ever":  {ref: "web", races: 100, kind: errdefs.IsConflict},
		"unknown":   {ref: "nope", kind: errdefs.IsNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t, private())
			for range tt.races {
				s.Races = append(s.Races, scales)
			}
			ctx, r := apitest.Request(t, "r1"), &controlpb.ScaleServiceRequest{Service: tt.ref, Replicas: 7}
			resp, err := serve(s).ScaleService(ctx, r)
			s.Races = nil
			again, repeated := serve(s).ScaleService(ctx, r)
			if tt.kind != nil {
				refused(t, err, repeated, tt.kind, "")
				return
			}
			if err != nil || repeated != nil || s.service().GetSpec().GetReplicated().GetReplicas() != 7 {
				t.Errorf("scaled %v, %v; repeated %v", resp, err, repeated)
			}
			hides(t, resp, again)
		})
	}
}

func TestRemoveService(t *testing.T) {
	s := newStore(t, private())
	ctx := apitest.Request(t, "r1")
	for range 2 { // the second time there is no such service any more
		r, err := serve(s).RemoveService(ctx, &controlpb.RemoveServiceRequest{Service: "web"})
		if err != nil || r.GetId() != "s1" || s.service() != nil {
			t.Errorf("removed %v, %v; left %v", r, err, s.service())
		}
	}
	_, err := serve(s).RemoveService(apitest.Request(t, "r2"), &controlpb.RemoveServiceRequest{Service: "web"})
	if !errdefs.IsNotFound(err) {
		t.Errorf("removed twice: %v", err)
	}
}

// TestReaders see services without their credentials, of now and of before.
func TestReaders(t *testing.T) {
	s := newStore(t, private())
	next := private()
	pod.Main(next.GetTask()).Image = "nginx:2"
	s.Commit(state.PutService(&raftpb.PutService{Id: "s1", Version: s.service().GetVersion(), Spec: next}))
	for i, st := range []clusterpb.TaskState{lifecycle.Running, lifecycle.Running, lifecycle.Pending} {
		id := fmt.Sprint("t", i)
		s.Commit(state.CreateTask(&clusterpb.Task{Id: id, ServiceId: "s1", Slot: uint32(i), Desired: lifecycle.Running, Canary: i == 1, Spec: next.GetTask()}),
			state.ObserveTask(id, &clusterpb.TaskStatus{State: st}))
	}
	if len(s.service().GetHistory()) == 0 {
		t.Fatal("there is no history to hide anything in")
	}
	get, err := serve(s).GetService(t.Context(), &controlpb.GetServiceRequest{Service: "web"})
	if err != nil || get.GetService().GetId() != "s1" {
		t.Errorf("got %v, %v", get, err)
	}
	list, err := serve(s).ListServices(t.Context(), &controlpb.ListServicesRequest{})
	if err != nil || len(list.GetServices()) != 1 || list.GetServices()[0].GetRunning() != 1 || list.GetServices()[0].GetDesired() != 3 {
		t.Errorf("listed %v, %v; want one of three running, without the canary", list, err)
	}
	hides(t, get, list)
	if _, err := serve(s).GetService(t.Context(), &controlpb.GetServiceRequest{Service: "nope"}); !errdefs.IsNotFound(err) {
		t.Errorf("an unknown one: %v", err)
	}
}

// TestPagesOfServices: services come a page at a time.
func TestPagesOfServices(t *testing.T) {
	s := newStore(t, private())
	s.Commit(state.PutService(&raftpb.PutService{Id: "s2", Spec: called("other")}))
	first, err := serve(s).ListServices(t.Context(), &controlpb.ListServicesRequest{PageSize: 1})
	if err != nil || len(first.GetServices()) != 1 || first.GetServices()[0].GetService().GetId() != "s1" {
		t.Fatalf("first %v, %v", first, err)
	}
	last, err := serve(s).ListServices(t.Context(), &controlpb.ListServicesRequest{PageToken: first.GetNextPageToken()})
	if err != nil || len(last.GetServices()) != 1 || last.GetServices()[0].GetService().GetId() != "s2" || last.GetNextPageToken() != "" {
		t.Errorf("then %v, %v", last, err)
	}
	if _, err := serve(s).ListServices(t.Context(), &controlpb.ListServicesRequest{PageToken: "!"}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("a token that is none: %v", err)
	}
}

// unresolved asks for a service whose image is taken as it is written.
func unresolved(spec *clusterpb.ServiceSpec) *controlpb.CreateServiceRequest {
	return &controlpb.CreateServiceRequest{Spec: spec, Resolve: controlpb.ResolveImages_RESOLVE_IMAGES_NEVER}
}

var _ service.Store = (*apitest.Store)(nil)

// TestPlanOfPorts: a plan knows the ports that the update would give, and is
// refused where the update would be.
func TestPlanOfPorts(t *testing.T) {
	s := newStore(t, web())
	other := web()
	other.Name, other.Ports = "other", []*clusterpb.Port{ingressPort(9999)}
	if _, err := serve(s).CreateService(t.Context(), &controlpb.CreateServiceRequest{Spec: other, Resolve: controlpb.ResolveImages_RESOLVE_IMAGES_NEVER}); err != nil {
		t.Fatal(err)
	}
	server := serve(s)
	var seen []*clusterpb.Port
	server.Preview = func(_ *state.State, _, next *clusterpb.Service) []*controlpb.PlannedSlot {
		seen = next.GetPorts()
		return nil
	}
	plan := func(ports ...*clusterpb.Port) error {
		next := web()
		next.Ports = ports
		_, err := server.UpdateService(t.Context(), &controlpb.UpdateServiceRequest{
			Service: "web", Spec: next, Plan: true, Resolve: controlpb.ResolveImages_RESOLVE_IMAGES_NEVER,
		})
		return err
	}
	if err := plan(ingressPort(8083), ingressPort(0)); err != nil || len(seen) != 2 || seen[0].GetPublished() != 8083 || seen[1].GetPublished() == 0 {
		t.Errorf("%v, it sees %v", err, seen)
	}
	if err := plan(ingressPort(9999)); err == nil || !strings.Contains(err.Error(), "9999/tcp is published by service other") {
		t.Errorf("a port of another service: %v", err)
	}
	if got := s.service().GetPorts(); len(got) != len(web().GetPorts()) {
		t.Errorf("the plan changed the ports to %v", got)
	}
}

func ingressPort(published uint32) *clusterpb.Port {
	return &clusterpb.Port{Protocol: clusterpb.Port_PROTOCOL_TCP, Mode: clusterpb.Port_MODE_INGRESS, Published: published, Target: 80 + published%7}
}
