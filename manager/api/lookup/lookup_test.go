package lookup_test

import (
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/manager/api/lookup"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
	"github.com/muster/muster/raftstore/storetest"
)

// cluster has services whose ids and names get in each other's way.
func cluster(t *testing.T) *state.State {
	t.Helper()
	var changes []*raftpb.Change
	for id, name := range map[string]string{"abc1": "web", "abd2": "db", "web9": "cache", "abe3": "ab"} {
		changes = append(changes, state.PutService(&raftpb.PutService{
			Id: id, Spec: &clusterpb.ServiceSpec{Name: name, Task: &clusterpb.TaskSpec{}},
		}))
	}
	for id, host := range map[string]string{"n1": "alpha", "n2": "twin", "n3": "twin", "n4": ""} {
		changes = append(changes, state.PutNode(&raftpb.PutNode{Id: id, Spec: &clusterpb.NodeSpec{}}),
			state.ObserveNode(&raftpb.ObserveNode{Id: id, Description: &clusterpb.NodeDescription{Hostname: host}}))
	}
	for _, id := range []string{"t1", "t22"} {
		changes = append(changes, state.CreateTask(&clusterpb.Task{
			Id: id, ServiceId: "abc1", ServiceName: "web", Slot: 1, Desired: lifecycle.Running, Spec: &clusterpb.TaskSpec{},
		}))
	}
	return storetest.State(t, changes...)
}

func TestFind(t *testing.T) {
	services := func(st *state.State, ref string) (string, error) {
		s, err := lookup.Service(st, ref)
		return s.GetId(), err
	}
	nodes := func(st *state.State, ref string) (string, error) {
		n, err := lookup.Node(st, ref)
		return n.GetId(), err
	}
	tasks := func(st *state.State, ref string) (string, error) {
		t, err := lookup.Task(st, ref)
		return t.GetId(), err
	}
	tests := map[string]struct {
		find func(*state.State, string) (string, error)
		ref  string
		want string // an id, or of the refusal a part
		kind func(error) bool
	}{
		"by id":                      {services, "abc1", "abc1", nil},
		"by name":                    {services, "db", "abd2", nil},
		"a name beats a prefix":      {services, "web", "abc1", nil},
		"by prefix":                  {services, "abd", "abd2", nil},
		"a name that is a prefix":    {services, "ab", "abe3", nil},
		"a prefix of several":        {services, "a", `service "a" is ambiguous: 3 match; use the whole id`, errdefs.IsInvalidArgument},
		"nothing":                    {services, "nope", `no service "nope"`, errdefs.IsNotFound},
		"a longer id":                {services, "abc12", `no service "abc12"`, errdefs.IsNotFound},
		"no name":                    {services, "", "no service is named", errdefs.IsInvalidArgument},
		"node by host":               {nodes, "alpha", "n1", nil},
		"node by id":                 {nodes, "n4", "n4", nil},
		"hosts of the same name":     {nodes, "twin", `node "twin" is ambiguous: 2 match`, errdefs.IsInvalidArgument},
		"one of them by id":          {nodes, "n3", "n3", nil},
		"no host name is not a name": {nodes, "", "no node is named", errdefs.IsInvalidArgument},
		"no node":                    {nodes, "beta", `no node "beta"`, errdefs.IsNotFound},
		"task by id":                 {tasks, "t1", "t1", nil},
		"task by prefix":             {tasks, "t2", "t22", nil},
		"task by its whole name":     {tasks, "web.1.t22", "t22", nil},
		"tasks of a slot":            {tasks, "web.1", `no task "web.1"`, errdefs.IsNotFound},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := tt.find(cluster(t), tt.ref)
			if tt.kind == nil && (err != nil || got != tt.want) {
				t.Errorf("found %q, %v; want %q", got, err, tt.want)
			}
			if tt.kind != nil && (err == nil || !tt.kind(err) || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("found %q, %v; want it refused: %s", got, err, tt.want)
			}
		})
	}
}
