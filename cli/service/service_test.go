package service_test

import (
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster/muster/cli/clitest"
	"github.com/muster/muster/cli/command"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	logspb "github.com/muster/muster/proto/logs/v1"
	"github.com/muster/muster/proto/pod"
)

// words splits a command line; nothing in these tests needs quotes.
func words(s string) []string { return strings.Fields(s) }

// run runs a command that must succeed and returns its output.
func run(t *testing.T, c *clitest.Cluster, line string) string {
	t.Helper()
	r := c.Run(t, words(line)...)
	if r.Status != command.ExitOK {
		t.Fatalf("%s: exit status %d: %s", line, r.Status, r.Err)
	}
	return r.Out
}

// squeeze makes one blank of many.
func squeeze(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	for i, line := range lines {
		lines[i] = strings.Join(strings.Fields(line), " ")
	}
	return strings.Join(lines, "\n")
}

func TestCreateWaitsUntilConverged(t *testing.T) {
	c := clitest.Start(t)
	out := run(t, c, "service create --name web --replicas 2 -p 8111:80 --update-monitor 0s nginx:1.29 sh -c x")
	want := "service000000000000000010\nweb: 2 of 2 running\n  web.1  running    on beta\n  web.2  running    on alpha\nweb: converged\n"
	if out != want {
		t.Errorf("output:\n%s\nwant:\n%s", out, want)
	}
	s := c.Service("web").GetSpec()
	if s.GetReplicated().GetReplicas() != 2 || s.GetPorts()[0].GetPublished() != 8111 {
		t.Errorf("spec = %v", s)
	}
	if diff := cmp.Diff([]string{"sh", "-c", "x"}, pod.Main(s.GetTask()).GetArgs()); diff != "" {
		t.Errorf("args (-want +got):\n%s", diff)
	}
}

func TestCreateDetached(t *testing.T) {
	c := clitest.Start(t)
	if out := run(t, c, "service create -d nginx"); out != "service000000000000000010\n" {
		t.Errorf("output = %q, want the id only", out)
	}
	if n := len(c.Requests("FollowService")); n > 0 {
		t.Errorf("followed %d times though detached", n)
	}
}

func TestRandomNameThatIsTakenIsReplaced(t *testing.T) {
	c := clitest.Start(t)
	c.Fail("CreateService", errdefs.ErrAlreadyExists, errdefs.ErrAlreadyExists)
	run(t, c, "service create -d nginx")
	requests := c.Requests("CreateService")
	if len(requests) != 3 {
		t.Fatalf("%d calls, want 3", len(requests))
	}
	ids := map[string]bool{}
	for _, r := range requests {
		ids[r.RequestID] = true
	}
	if len(ids) != 3 {
		t.Errorf("%d request ids for three different requests", len(ids))
	}
	c.Fail("CreateService", errdefs.ErrAlreadyExists)
	if r := c.Run(t, words("service create -d --name web nginx")...); r.Status != command.ExitFailure {
		t.Errorf("a name that was asked for: exit status %d, want %d", r.Status, command.ExitFailure)
	}
}

// TestBadInput has what must be found before any call.
func TestBadInput(t *testing.T) {
	c := clitest.Start(t)
	tests := map[string]string{
		"service create":                                       `"muster service create" needs at least 1 argument`,
		"service create --replicas -1 nginx":                   `--replicas "-1": must be a whole number`,
		"service create --replicas three nginx":                `--replicas "three": must be a whole number`,
		"service create -p 99999:80 nginx":                     `--publish "99999:80": must be`,
		"service create -p 80/sctp nginx":                      `protocol "sctp" is not supported`,
		"service create --update-delay 5 nginx":                `--update-delay "5": must be a duration`,
		"service create --limit-memory 64x nginx":              `--limit-memory "64x": must be a size`,
		"service create --constraint zone nginx":               `--constraint "zone":`,
		"service create --constraint foo==a nginx":             `--constraint "foo==a":`,
		"service create --name a_b nginx":                      `"a_b"`,
		"service create -p 80:80 -p 80:81 nginx":               `80`,
		"service create Nginx:":                                `image "Nginx:": must be an image`,
		"service create --no-such-flag nginx":                  `unknown flag: --no-such-flag`,
		"service create --update-canary all nginx":             `--update-canary "all": must be a whole number`,
		"service update --publish-rm x web":                    `--publish-rm "x"`,
		"service update":                                       `needs 1 argument`,
		"service update --rollback --force web":                `--rollback takes the whole spec back`,
		"service update --plan --detach --env-add A=1 web":     `--plan changes nothing`,
		"service update --if-version 0 web":                    `--if-version "0"`,
		"service scale web":                                    `"web": must be SERVICE=REPLICAS`,
		"service scale web=-1":                                 `"web=-1": must be SERVICE=REPLICAS`,
		"service rollback --to 0 web":                          `--to "0"`,
		"service ls --filter foo=1":                            `one of the keys id, label, mode, name`,
		"service ls --filter mode=fast":                        `mode must be one of replicated`,
		"service ls --format {{.Foo}}":                         `no field .Foo`,
		"service ps --filter desired-state=happy web":          `no task state "happy"`,
		"service inspect --pretty --format {{.ID}} web":        `cannot be used together`,
		"service logs --tail x web":                            `--tail "x": must be a number of lines`,
		"service logs --since yesterday web":                   `--since "yesterday": must be a time`,
		"service frobnicate":                                   `unknown command "muster service frobnicate"`,
		"service create --timeout -1s nginx":                   `--timeout "-1s": must be a duration`,
		"service create --health-cmd x --no-healthcheck nginx": `cannot be used together`,
	}
	for line, want := range tests {
		t.Run(line, func(t *testing.T) {
			r := c.Run(t, words(line)...)
			if r.Status != command.ExitMisuse || r.Out != "" {
				t.Errorf("exit status %d, output %q, want %d and none", r.Status, r.Out, command.ExitMisuse)
			}
			if !strings.HasPrefix(r.Err, "muster: ") || strings.Count(r.Err, "\n") != 1 || !strings.Contains(r.Err, want) {
				t.Errorf("error = %q, want one line with %q", r.Err, want)
			}
			if strings.Contains(r.Err, "invalid argument") || strings.Contains(r.Err, "rpc error") {
				t.Errorf("error = %q has noise", r.Err)
			}
		})
	}
	for _, method := range []string{"CreateService", "UpdateService", "ScaleService", "GetService", "ListServices", "RollbackService"} {
		if n := len(c.Requests(method)); n > 0 {
			t.Errorf("%s was called %d times", method, n)
		}
	}
}

func TestUpdate(t *testing.T) {
	c := clitest.Start(t)
	run(t, c, "service create -d --name web --replicas 2 -e A=1 nginx:1.28")
	out := run(t, c, "service update --image nginx:1.29 --env-add B=2 --force web")
	if want := "web\nweb: 2 of 2 running\n  web.1  running    on beta\n  web.2  running    on alpha\nweb: converged\n"; out != want {
		t.Errorf("output:\n%s\nwant:\n%s", out, want)
	}
	spec := c.Service("web").GetSpec().GetTask()
	if diff := cmp.Diff([]string{"A=1", "B=2"}, pod.Main(spec).GetEnv()); diff != "" || spec.GetForceUpdate() != 1 {
		t.Errorf("spec = %v", spec)
	}
	request := c.Requests("UpdateService")[0].Message.(*controlpb.UpdateServiceRequest)
	if request.GetNoResolveImage() {
		t.Error("a new image is not looked up")
	}
	run(t, c, "service update -d --env-rm B web")
	request = c.Requests("UpdateService")[1].Message.(*controlpb.UpdateServiceRequest)
	if !request.GetNoResolveImage() {
		t.Error("an image that is not touched is looked up")
	}
}

func TestUpdateExitStatuses(t *testing.T) {
	tests := map[string]struct {
		outcome clusterpb.UpdateStatus_State
		want    int
		text    string
	}{
		"completed":   {clusterpb.UpdateStatus_STATE_COMPLETED, command.ExitOK, ""},
		"rolled back": {clusterpb.UpdateStatus_STATE_ROLLBACK_COMPLETED, command.ExitRolledBack, "the update failed and was rolled back"},
		"paused":      {clusterpb.UpdateStatus_STATE_PAUSED, command.ExitPaused, "update paused"},
		"timed out":   {clusterpb.UpdateStatus_STATE_UPDATING, command.ExitTimeout, "not converged in 10ms"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := clitest.Start(t)
			c.Outcome = tt.outcome
			run(t, c, "service create -d --name web nginx:1.28")
			timeout := "1m"
			if tt.want == command.ExitTimeout {
				timeout = "10ms"
			}
			r := c.Run(t, words("service update --quiet --timeout "+timeout+" --image nginx:1.29 web")...)
			if r.Status != tt.want || !strings.Contains(r.Err, tt.text) {
				t.Errorf("exit status %d, %q, want %d and %q", r.Status, r.Err, tt.want, tt.text)
			}
		})
	}
}

func TestUpdateOfAnotherVersion(t *testing.T) {
	c := clitest.Start(t)
	run(t, c, "service create -d --name web nginx")
	r := c.Run(t, words("service update -d --if-version 3 --env-add A=1 web")...)
	if r.Status != command.ExitFailure || !strings.Contains(r.Err, "service web is at version 11, not 3") {
		t.Errorf("exit status %d, %q", r.Status, r.Err)
	}
	run(t, c, "service update -d --if-version 11 --env-add A=1 web")

	c.Fail("UpdateService", errdefs.ErrConflict)
	run(t, c, "service update -d --env-add B=1 web") // made anew on the newer spec
	c.Fail("UpdateService", errdefs.ErrConflict)
	if r := c.Run(t, words("service update -d --if-version 13 --env-add C=1 web")...); r.Status != command.ExitFailure {
		t.Errorf("a race with --if-version: exit status %d", r.Status)
	}
}

func TestPlan(t *testing.T) {
	c := clitest.Start(t)
	run(t, c, "service create -d --name web --replicas 2 nginx:1.28")
	got := squeeze(run(t, c, "service update --plan --image nginx:1.29 --label-add a=1 web"))
	want := squeeze(`
Fields:
  Labels.a: (unset) -> "1"
  TaskTemplate.ContainerSpec.Image: nginx:1.28 -> nginx:1.29

SLOT      ACTION    TASK           NODE
1         replace   000000000011   beta
2         replace   000000000011   alpha`)
	if got != want {
		t.Errorf("plan:\n%s\nwant:\n%s", got, want)
	}
	if image := pod.Main(c.Service("web").GetSpec().GetTask()).GetImage(); image != "nginx:1.28" {
		t.Errorf("the plan changed the image to %s", image)
	}
}

func TestScale(t *testing.T) {
	c := clitest.Start(t)
	run(t, c, "service create -d --name web --update-monitor 0s nginx")
	r := c.Run(t, words("service scale -q nope=1 web=3")...)
	if r.Out != "web scaled to 3\n" || r.Err != "muster: nope: no service \"nope\": not found\n" || r.Status != command.ExitFailure {
		t.Errorf("%+v, want web scaled and nope missed", r)
	}
	if n := c.Service("web").GetSpec().GetReplicated().GetReplicas(); n != 3 {
		t.Errorf("replicas = %d", n)
	}
}

func TestRollbackAndHistory(t *testing.T) {
	c := clitest.Start(t)
	run(t, c, "service create -d --name web nginx:1.28")
	if r := c.Run(t, words("service rollback web")...); r.Status != command.ExitFailure || r.Err != "muster: service web has no earlier spec to roll back to\n" {
		t.Errorf("nothing to roll back to: %+v", r)
	}
	run(t, c, "service update -d --image nginx:1.29 web")
	if out := run(t, c, "service rollback -q web"); out != "web\n" {
		t.Errorf("output = %q", out)
	}
	got := squeeze(run(t, c, "service history web"))
	want := squeeze(`
NUMBER    CREATED                  OUTCOME             IMAGE        REPLICAS
3 *       less than a second ago   rollback_completed  nginx:1.28   1
2         less than a second ago   completed           nginx:1.29   1
1         less than a second ago                       nginx:1.28   1`)
	if got != want {
		t.Errorf("history:\n%s\nwant:\n%s", got, want)
	}
	run(t, c, "service rollback -d --to 2 web")
	if to := c.Requests("RollbackService")[2].Message.(*controlpb.RollbackServiceRequest).GetTo(); to != 2 {
		t.Errorf("rolled back to %d, want 2", to)
	}
	if out := run(t, c, "service update -d --rollback web"); out != "web\n" {
		t.Errorf("update --rollback wrote %q", out)
	}
}

func TestRollouts(t *testing.T) {
	c := clitest.Start(t)
	run(t, c, "service create -d --name web --update-monitor 0s nginx")
	for _, verb := range []string{"pause", "resume -q", "promote -q", "restart -q"} {
		if out := run(t, c, "service "+verb+" web"); out != "web\n" {
			t.Errorf("%s wrote %q", verb, out)
		}
	}
	var actions []controlpb.ControlRolloutRequest_Action
	for _, r := range c.Requests("ControlRollout") {
		actions = append(actions, r.Message.(*controlpb.ControlRolloutRequest).GetAction())
	}
	want := []controlpb.ControlRolloutRequest_Action{
		controlpb.ControlRolloutRequest_ACTION_PAUSE, controlpb.ControlRolloutRequest_ACTION_RESUME,
		controlpb.ControlRolloutRequest_ACTION_PROMOTE, controlpb.ControlRolloutRequest_ACTION_RESTART,
	}
	if diff := cmp.Diff(want, actions); diff != "" {
		t.Errorf("actions (-want +got):\n%s", diff)
	}
}

func TestList(t *testing.T) {
	c := clitest.Start(t)
	run(t, c, "service create -d --name web -l tier=front --replicas 3 -p 8111:80 nginx:1.29")
	run(t, c, "service create -d --name db --replicas-max-per-node 1 redis")
	tests := map[string]string{
		"service ls": `
ID             NAME      MODE         REPLICAS               IMAGE        PORTS
service00000   db        replicated   1/1 (max 1 per node)   redis
service00000   web       replicated   3/3                    nginx:1.29   *:8111->80/tcp`,
		"service ls -q --filter name=w":              "service00000",
		"service ls --format {{.Name}}":              "db\nweb",
		"service ls -f label=tier --format json":     `{"CreatedAt":"less than a second ago","ID":"service00000","Image":"nginx:1.29","Mode":"replicated","Name":"web","Ports":"*:8111->80/tcp","Replicas":"3/3","UpdateState":""}`,
		"service ls -f name=nope --format {{.ID}}":   "",
		"service ls -f name=nope -f mode=replicated": "ID NAME MODE REPLICAS IMAGE PORTS",
	}
	for line, want := range tests {
		if got := squeeze(run(t, c, line)); got != squeeze(want) {
			t.Errorf("%s:\n%s\nwant:\n%s", line, got, squeeze(want))
		}
	}
}

func TestTasks(t *testing.T) {
	c := clitest.Start(t)
	run(t, c, "service create -d --name web --replicas 2 nginx:1.29")
	got := squeeze(run(t, c, "service ps web"))
	want := squeeze(`
ID             NAME      IMAGE        NODE      DESIRED STATE   CURRENT STATE                    ERROR     PORTS
000000000011   web.1     nginx:1.29   beta      Running         Running less than a second ago
000000000011   web.2     nginx:1.29   alpha     Running         Running less than a second ago`)
	if got != want {
		t.Errorf("tasks:\n%s\nwant:\n%s", got, want)
	}
	if got := run(t, c, "service ps -f node=self --format {{.Name}} web"); got != "web.2\n" {
		t.Errorf("tasks on self = %q", got)
	}
	r := c.Run(t, words("service ps -q nope web")...)
	if r.Status != command.ExitFailure || r.Err != "muster: no service \"nope\": not found\n" || strings.Count(r.Out, "\n") != 2 {
		t.Errorf("%+v, want the tasks of web and an error", r)
	}
}

func TestInspect(t *testing.T) {
	c := clitest.Start(t)
	run(t, c, "service create -d --name web nginx:1.29")
	if got := run(t, c, "service inspect -f {{.Spec.TaskTemplate.ContainerSpec.Image}} web"); got != "nginx:1.29\n" {
		t.Errorf("template = %q", got)
	}
	if got := run(t, c, "service inspect --pretty web"); !strings.Contains(got, "Name:               web\n") {
		t.Errorf("pretty = %q", got)
	}
	r := c.Run(t, words("service inspect nope")...)
	if r.Status != command.ExitFailure || r.Out != "[]\n" {
		t.Errorf("%+v, want an empty array and failure", r)
	}
}

func TestRemove(t *testing.T) {
	c := clitest.Start(t)
	run(t, c, "service create -d --name web nginx")
	r := c.Run(t, words("service rm nope web")...)
	if r.Out != "web\n" || r.Err != "muster: no service \"nope\": not found\n" || r.Status != command.ExitFailure {
		t.Errorf("%+v, want web removed and nope missed", r)
	}
}

func TestLogs(t *testing.T) {
	c := clitest.Start(t)
	run(t, c, "service create -d --name web nginx")
	c.Logs = []*logspb.LogMessage{{
		TaskId: "000000000011task000000001", NodeId: c.Nodes[1].GetNode().GetId(), At: timestamppb.New(clitest.Now()),
		Stream: logspb.LogMessage_STREAM_STDOUT, Data: []byte("hello\n"),
	}}
	if got := run(t, c, "service logs --tail 5 --since 42m web"); got != "web.1.000000000011@beta    | hello\n" {
		t.Errorf("logs = %q", got)
	}
	if got := run(t, c, "service logs -t --raw 000000000011task"); got != "2026-01-02T03:04:05Z hello\n" {
		t.Errorf("logs of a task = %q", got)
	}
	var asked []*controlpb.SubscribeLogsRequest
	for _, r := range c.Requests("SubscribeLogs") {
		if m, ok := r.Message.(*controlpb.SubscribeLogsRequest); ok {
			asked = append(asked, m)
		}
	}
	if len(asked) != 2 || asked[0].GetOptions().GetTail() != 5 || len(asked[0].GetServiceIds()) != 1 || !asked[0].GetOptions().GetSince().AsTime().Equal(clitest.Now().Add(-42*60e9)) {
		t.Errorf("asked for %v", asked)
	}
	if len(asked) == 2 && (asked[1].GetOptions().GetTail() != -1 || asked[1].GetTaskIds()[0] != "000000000011task000000001") {
		t.Errorf("asked for %v", asked[1])
	}
	if r := c.Run(t, words("service logs nope")...); r.Err != "muster: no service or task is called nope: not found\n" {
		t.Errorf("error = %q", r.Err)
	}
}
