package task

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
)

func TestTableOfTasks(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	before := func(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(now.Add(-d)) }
	spec := &clusterpb.TaskSpec{Containers: []*clusterpb.ContainerSpec{{Image: "docker.io/library/nginx:1.29@sha256:" + strings.Repeat("a", 64)}}}
	tasks := []*clusterpb.Task{
		{
			Id: "bbbbbbbbbbbbbbbbbbbbbbbbb", ServiceId: "svc", ServiceName: "web", Slot: 2, NodeId: "n2", Spec: spec,
			Desired: lifecycle.Running, CreatedAt: before(3 * time.Minute),
			Status: &clusterpb.TaskStatus{
				State: lifecycle.Running, AppliedAt: before(2 * time.Minute),
				Health:    &clusterpb.HealthStatus{State: clusterpb.HealthStatus_STATE_UNHEALTHY},
				HostPorts: []*clusterpb.Port{{Target: 80, Published: 40000, Protocol: clusterpb.Port_PROTOCOL_TCP}},
			},
		},
		{
			Id: "aaaaaaaaaaaaaaaaaaaaaaaaa", ServiceId: "svc", ServiceName: "web", Slot: 1, NodeId: "n1", Spec: spec,
			Desired: lifecycle.Shutdown, CreatedAt: before(time.Hour),
			Status: &clusterpb.TaskStatus{State: lifecycle.Failed, AppliedAt: before(time.Minute), Err: "the process ended with status 1:\na long tale follows here"},
		},
		{
			Id: "ccccccccccccccccccccccccc", ServiceId: "svc", ServiceName: "web", Slot: 1, NodeId: "gone-node-id", Spec: spec,
			Desired: lifecycle.Running, CreatedAt: before(time.Minute), StartAfter: timestamppb.New(now.Add(9 * time.Second)),
			Status: &clusterpb.TaskStatus{State: lifecycle.Ready, At: before(time.Minute)},
		},
	}
	names := Names{nodes: map[string]string{"n1": "alpha", "n2": "beta"}, resolve: true}
	tests := map[string]struct {
		opts   options
		format string
		want   string
	}{
		"default": {opts: options{names: names}, want: `
ID             NAME          IMAGE        NODE           DESIRED STATE   CURRENT STATE                                ERROR                                        PORTS
cccccccccccc   web.1         nginx:1.29   gone-node-id   Running         Ready about a minute ago, restarts in 9 seconds
aaaaaaaaaaaa    \_ web.1     nginx:1.29   alpha          Shutdown        Failed about a minute ago                    "the process ended with status 1: a long…"
bbbbbbbbbbbb   web.2         nginx:1.29   beta           Running         Running (unhealthy) 2 minutes ago                                                         *:40000->80/tcp
`},
		"whole, by ids": {opts: options{noTrunc: true}, format: "{{.ID}} {{.Name}} {{.Node}} {{.Image}} {{.Error}}", want: `
ccccccccccccccccccccccccc svc.1 gone-node-id docker.io/library/nginx:1.29@sha256:` + strings.Repeat("a", 64) + `
aaaaaaaaaaaaaaaaaaaaaaaaa svc.1 n1 docker.io/library/nginx:1.29@sha256:` + strings.Repeat("a", 64) + ` the process ended with status 1: a long tale follows here
bbbbbbbbbbbbbbbbbbbbbbbbb svc.2 n2 docker.io/library/nginx:1.29@sha256:` + strings.Repeat("a", 64) + `
`},
	}
	tests["a program's"] = struct {
		opts   options
		format string
		want   string
	}{opts: options{names: names}, format: "{{json .Name}} {{json .Error}}", want: `
"web.1" ""
"web.1" "the process ended with status 1: a long tale follows here"
"web.2" ""
`}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			if err := table().Write(&b, tt.format, rows(slices.SortedFunc(slices.Values(tasks), compare), tt.opts, now)); err != nil {
				t.Fatal(err)
			}
			if got := squeeze(b.String()); got != squeeze(tt.want) {
				t.Errorf("table:\n%s\nwant:\n%s", got, squeeze(tt.want))
			}
		})
	}
}

// TestErrorIsToldOnce: why a task waited is the end of another, and what became
// of its slot names its own end already.
func TestErrorIsToldOnce(t *testing.T) {
	const waited, gaveUp = `exit status 1 (restarts after 5s)`, `exit status 1 (not restarted: used up all 3 restart attempts)`
	for _, tt := range []struct {
		state, desired    clusterpb.TaskState
		err, reason, want string
	}{
		{lifecycle.Ready, lifecycle.Ready, waited, waited, waited},
		{lifecycle.Rejected, lifecycle.Ready, `find user "nosuch"`, waited, `find user "nosuch"`},
		{lifecycle.Failed, lifecycle.Shutdown, "exit status 1", gaveUp, gaveUp},
		{lifecycle.Failed, lifecycle.Shutdown, "", gaveUp, gaveUp},
		{lifecycle.Failed, lifecycle.Shutdown, "exit status 1", "", "exit status 1"},
		{lifecycle.Failed, lifecycle.Shutdown, "exit status 1", "not restarted: the restart condition is none", "exit status 1: not restarted: the restart condition is none"},
		{lifecycle.Running, lifecycle.Shutdown, "", "node is drained", ""},
	} {
		got := taskError(&clusterpb.Task{Desired: tt.desired, DesiredReason: tt.reason, Status: &clusterpb.TaskStatus{State: tt.state, Err: tt.err}}, true)
		if got.Value != tt.want {
			t.Errorf("%+v: %s", tt, got.Value)
		}
	}
}

// squeeze makes one blank of many: how columns line up is the table's own test.
func squeeze(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	for i, line := range lines {
		lines[i] = strings.Join(strings.Fields(line), " ")
	}
	return strings.Join(lines, "\n")
}
