package task_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"

	"github.com/muster/muster/manager/api/apitest"
	"github.com/muster/muster/manager/api/task"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/page"
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
		"of a service twice":      {[]string{"web", "web"}, nil, "web1 web2"},
		"of a service without id": {[]string{""}, nil, ""},
		"on a node without id":    {[]string{"web"}, []string{""}, ""},
		"of two nodes":            {nil, []string{"n2", "n1"}, "db1 web1 web2"},
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

// TestListTasksOfVeryMany: a request names a bounded number of services or nodes.
func TestListTasksOfVeryMany(t *testing.T) {
	_, server := serve(t)
	for _, r := range []*controlpb.ListTasksRequest{{ServiceIds: make([]string, 1001)}, {NodeIds: make([]string, 1001)}} {
		if _, err := server.ListTasks(t.Context(), r); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "name 1000 at most") {
			t.Errorf("got %v", err)
		}
	}
}

// TestListManyTasks: the most slots that a service may have, beside others,
// come a page at a time, each task once and in order, and no page is too large
// for a message.
func TestListManyTasks(t *testing.T) {
	const most = 65_533
	store, server := serve(t)
	var changes []*raftpb.Change
	for i := range most {
		id := fmt.Sprintf("m%05d", i)
		changes = append(changes, state.CreateTask(&clusterpb.Task{
			Id: id, ServiceId: []string{"web", "db"}[i%2], Slot: uint32(i + 1), Desired: lifecycle.Running, Spec: &clusterpb.TaskSpec{},
			Status: &clusterpb.TaskStatus{State: lifecycle.Pending, Err: strings.Repeat("no node fits: ", 70)},
		}))
		if i%4 == 0 {
			changes = append(changes, state.AssignTask(id, "n1", nil))
		}
	}
	store.Commit(changes...)
	tests := map[string]struct {
		request *controlpb.ListTasksRequest
		want    int
	}{
		"all":             {&controlpb.ListTasksRequest{}, most + 3},
		"of a service":    {&controlpb.ListTasksRequest{ServiceIds: []string{"web"}}, most/2 + 3},
		"of both":         {&controlpb.ListTasksRequest{ServiceIds: []string{"web", "db"}, PageSize: 10_000}, most + 3},
		"of a node":       {&controlpb.ListTasksRequest{NodeIds: []string{"n1"}, PageSize: 77}, most/4 + 3},
		"of both on both": {&controlpb.ListTasksRequest{ServiceIds: []string{"web", "db"}, NodeIds: []string{"n1", "n2"}}, most/4 + 4},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tasks, err := page.All(func(token string) ([]*clusterpb.Task, string, error) {
				tt.request.PageToken = token
				r, err := server.ListTasks(t.Context(), tt.request)
				if n := proto.Size(r); n > 2*page.MostBytes || len(r.GetTasks()) > page.Most {
					t.Fatalf("a page of %d tasks, %d bytes", len(r.GetTasks()), n)
				}
				return r.GetTasks(), r.GetNextPageToken(), err
			})
			if err != nil || len(tasks) != tt.want {
				t.Fatalf("%d tasks, %v; want %d", len(tasks), err, tt.want)
			}
			for i := range tasks[1:] {
				if tasks[i].GetId() >= tasks[i+1].GetId() {
					t.Fatalf("%s before %s", tasks[i].GetId(), tasks[i+1].GetId())
				}
			}
		})
	}
	if _, err := server.ListTasks(t.Context(), &controlpb.ListTasksRequest{PageToken: "nonsense"}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("a token that is none: %v", err)
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
