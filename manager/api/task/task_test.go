package task_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/manager/api/apitest"
	"github.com/muster/muster/manager/api/task"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/lifecycle"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
)

const secret = "s3cret"

// serve has tasks web1 on n1, web2 on n2 and db1 on n1.
func serve(t *testing.T) (*apitest.Store, *task.Server) {
	t.Helper()
	spec := &clusterpb.TaskSpec{Containers: []*clusterpb.ContainerSpec{{Image: "nginx", RegistryAuth: secret}}}
	var changes []*raftpb.Change
	for _, n := range []string{"n1", "n2"} {
		changes = append(changes, state.PutNode(&raftpb.PutNode{Id: n, Spec: &clusterpb.NodeSpec{}}))
	}
	for _, s := range []string{"web", "db"} {
		changes = append(changes, state.PutService(&raftpb.PutService{Id: s, Spec: &clusterpb.ServiceSpec{Name: s, Task: spec}}))
	}
	for _, p := range []struct{ id, service, node string }{{"web1", "web", "n1"}, {"web2", "web", "n2"}, {"db1", "db", "n1"}} {
		changes = append(changes,
			state.CreateTask(&clusterpb.Task{Id: p.id, ServiceId: p.service, ServiceName: p.service, Slot: 1, Desired: lifecycle.Running, Spec: spec}),
			state.AssignTask(p.id, p.node, nil))
	}
	store := apitest.New(t, changes...)
	return store, &task.Server{Store: store}
}

func TestListTasks(t *testing.T) {
	tests := map[string]struct {
		services, nodes []string
		want            string
	}{
		"all":                     {nil, nil, "db1 web1 web2"},
		"of a service":            {[]string{"web"}, nil, "web1 web2"},
		"of two services":         {[]string{"db", "web"}, nil, "db1 web1 web2"},
		"of a node":               {nil, []string{"n1"}, "db1 web1"},
		"of a service on a node":  {[]string{"web"}, []string{"n2"}, "web2"},
		"of a service not there":  {[]string{"nope"}, nil, ""},
		"of services by id alone": {nil, []string{"nope"}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, server := serve(t)
			r, err := server.ListTasks(t.Context(), &controlpb.ListTasksRequest{ServiceIds: tt.services, NodeIds: tt.nodes})
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for _, task := range r.GetTasks() {
				ids = append(ids, task.GetId())
			}
			slices.Sort(ids)
			if got := strings.Join(ids, " "); got != tt.want {
				t.Errorf("tasks %q, want %q", got, tt.want)
			}
			if strings.Contains(r.String(), secret) {
				t.Error("a credential is shown")
			}
		})
	}
}

func TestGetTask(t *testing.T) {
	store, server := serve(t)
	r, err := server.GetTask(t.Context(), &controlpb.GetTaskRequest{Task: "db"})
	if err != nil || r.GetTask().GetId() != "db1" || len(r.GetTask().GetSpec().GetContainers()) != 1 {
		t.Errorf("%v, %v", r, err)
	}
	if r.GetTask().GetSpec().GetContainers()[0].GetRegistryAuth() != "" {
		t.Error("a credential is shown")
	}
	if kept, _ := store.State().Task("db1"); kept.GetSpec().GetContainers()[0].GetRegistryAuth() != secret {
		t.Error("the state lost the credential")
	}
	for ref, kind := range map[string]func(error) bool{"nope": errdefs.IsNotFound, "web": errdefs.IsInvalidArgument} {
		if _, err := server.GetTask(t.Context(), &controlpb.GetTaskRequest{Task: ref}); err == nil || !kind(err) {
			t.Errorf("%s: %v", ref, err)
		}
	}
}
