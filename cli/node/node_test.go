package node_test

import (
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"

	"github.com/muster/muster/cli/clitest"
	"github.com/muster/muster/cli/command"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
)

func run(t *testing.T, c *clitest.Cluster, line string) string {
	t.Helper()
	r := c.Run(t, strings.Fields(line)...)
	if r.Status != command.ExitOK {
		t.Fatalf("%s: exit status %d: %s", line, r.Status, r.Err)
	}
	return r.Out
}

func squeeze(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	for i, line := range lines {
		lines[i] = strings.Join(strings.Fields(line), " ")
	}
	return strings.Join(lines, "\n")
}

func TestList(t *testing.T) {
	c := clitest.Start(t)
	c.Nodes[1].Gossip = "suspect"
	c.Nodes[1].GetNode().Status.State = clusterpb.NodeStatus_STATE_DOWN
	tests := map[string]string{
		"node ls": `
ID                            HOSTNAME   STATUS    AVAILABILITY   MANAGER STATUS   REACHABILITY   ENGINE VERSION
aaaaaaaaaaaaaaaaaaaaaaaaa *   alpha      Ready     Active         Leader           alive          1.0
bbbbbbbbbbbbbbbbbbbbbbbbb     beta       Down      Active                          suspect        1.0`,
		"node ls -q": "aaaaaaaaaaaaaaaaaaaaaaaaa\nbbbbbbbbbbbbbbbbbbbbbbbbb",
		"node ls -f role=worker --format {{.Hostname}}":         "beta",
		"node ls -f node.label=zone=alpha --format {{.Self}}":   "true",
		"node ls -f label=disk=hdd -q":                          "",
		"node ls -f name=be --format {{.Hostname}}/{{.Status}}": "beta/Down",
	}
	for line, want := range tests {
		if got := squeeze(run(t, c, line)); got != squeeze(want) {
			t.Errorf("%s:\n%s\nwant:\n%s", line, got, squeeze(want))
		}
	}
}

func TestInspect(t *testing.T) {
	c := clitest.Start(t)
	got := run(t, c, "node inspect --pretty self")
	want := `ID:                 aaaaaaaaaaaaaaaaaaaaaaaaa
Hostname:           alpha
Labels:
 - zone=alpha
Joined:             about an hour ago
Role:               manager
Status:
 State:             Ready
 Since:             about a minute ago
 Availability:      Active
 Address:           192.0.2.1
 Gossip:            alive
Manager Status:
 Address:           192.0.2.1:2377
 Reachability:      Reachable
 Leader:            Yes
Platform:
 Operating System:  linux
 Architecture:      amd64
 Kernel:            6.18
Resources:
 CPUs:              2
 Memory:            4GiB
Engine:
 Version:           1.0
 containerd:        2.4
Engine Labels:
 - disk=ssd
Images:
 - docker.io/library/nginx:1.29 (187MB)
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pretty (-want +got):\n%s", diff)
	}
	format := "{{.Description.Hostname}} {{.Spec.Role}} {{.Spec.Availability}} {{.Status.State}} {{.Description.Engine.EngineVersion}}"
	r := c.Run(t, "node", "inspect", "-f", format, "beta", "nope")
	if r.Out != "beta worker active ready 1.0\n" || r.Status != command.ExitFailure || !strings.Contains(r.Err, `no node "nope"`) {
		t.Errorf("%+v, want beta and an error", r)
	}
	if got := run(t, c, "node inspect alpha"); !strings.Contains(got, `"Reachability": "reachable"`) || !strings.Contains(got, `"Leader": true`) {
		t.Errorf("JSON = %s", got)
	}
}

func TestTasksOfANode(t *testing.T) {
	c := clitest.Start(t)
	run(t, c, "service create -d --name web --replicas 3 nginx")
	if got := run(t, c, "node ps --format {{.Name}}"); got != "web.2\n" {
		t.Errorf("tasks of this node = %q", got)
	}
	if got := run(t, c, "node ps --format {{.Name}} beta self"); got != "web.1\nweb.2\nweb.3\n" {
		t.Errorf("tasks of both nodes = %q", got)
	}
	if r := c.Run(t, "node", "ps", "nope"); r.Status != command.ExitFailure || r.Out != "" {
		t.Errorf("%+v, want nothing but an error", r)
	}
}

func TestSelfOutsideACluster(t *testing.T) {
	c := clitest.Start(t)
	c.Status.NodeId = ""
	r := c.Run(t, "node", "ps")
	if r.Status != command.ExitFailure || !strings.Contains(r.Err, `this node is in no cluster: run "muster swarm init" or "muster swarm join"`) {
		t.Errorf("%+v", r)
	}
}

func TestUpdate(t *testing.T) {
	c := clitest.Start(t)
	c.Fail("UpdateNode", errdefs.ErrConflict) // tried anew
	run(t, c, "node update --availability pause --label-add a=1 --label-add b --label-rm zone alpha")
	spec := c.Nodes[0].GetNode().GetSpec()
	if diff := cmp.Diff(map[string]string{"a": "1", "b": ""}, spec.GetLabels()); diff != "" || spec.GetAvailability() != clusterpb.NodeSpec_AVAILABILITY_PAUSE {
		t.Errorf("spec = %v (-want +got):\n%s", spec, diff)
	}
	run(t, c, "node update --label-rm b alpha")
	if got := c.Nodes[0].GetNode().GetSpec().GetAvailability(); got != clusterpb.NodeSpec_AVAILABILITY_PAUSE {
		t.Errorf("availability = %v though it was not named", got)
	}
	if version := c.Requests("UpdateNode")[0].Message.(*controlpb.UpdateNodeRequest).GetVersion(); version != 5 {
		t.Errorf("written from version %d, want the one that was read", version)
	}
}

func TestDrainIsWaitedFor(t *testing.T) {
	c := clitest.Start(t)
	run(t, c, "service create -d --name web --replicas 3 nginx")
	if got := run(t, c, "node update --availability drain --wait beta"); got != "beta\ndrained: no task is left\n" {
		t.Errorf("output = %q", got)
	}
}

func TestRemove(t *testing.T) {
	c := clitest.Start(t)
	r := c.Run(t, "node", "rm", "--force", "nope", "beta")
	if r.Out != "beta\n" || r.Status != command.ExitFailure || r.Err != "muster: no node \"nope\": not found\n" {
		t.Errorf("%+v, want beta removed and nope missed", r)
	}
	if !c.Requests("RemoveNode")[1].Message.(*controlpb.RemoveNodeRequest).GetForce() {
		t.Error("--force was not passed on")
	}
}

func TestDoctor(t *testing.T) {
	c := clitest.Start(t)
	if got := run(t, c, "node doctor"); got != "applied index 42, repairs so far 1\nEverything is as it should be.\n" {
		t.Errorf("output = %q", got)
	}
	c.Differences = []string{"route to beta is missing"}
	r := c.Run(t, "node", "doctor")
	if r.Status != command.ExitFailure || !strings.HasPrefix(r.Out, "route to beta is missing\n") {
		t.Errorf("%+v, want the difference and failure", r)
	}
}

func TestBadInput(t *testing.T) {
	c := clitest.Start(t)
	tests := map[string]string{
		"node update --availability gone alpha":     `--availability "gone": must be active, pause or drain`,
		"node update --wait alpha":                  "--wait goes with --availability drain",
		"node update --label-add =1 alpha":          `--label-add "=1": must be KEY or KEY=VALUE`,
		"node ls -f role=boss":                      "role must be one of manager, worker",
		"node ls -f membership=accepted":            "one of the keys id, label, name, node.label, role",
		"node ls extra":                             `"muster node ls" takes no argument, got "extra"`,
		"node inspect":                              "needs at least 1 argument",
		"node inspect --pretty -f {{.ID}} self":     "cannot be used together",
		"node update --label-add a=1":               "needs 1 argument",
		"node ps --format {{.Nope}}":                "no field .Nope",
		"node update --availability drain a b":      "needs 1 argument",
		"node update --wait --timeout soon alpha":   `--timeout "soon": must be a duration`,
		"node ps -f desired-state=whatever":         `no task state "whatever"`,
		"node ls --format {{":                       `--format "{{"`,
		"node promote alpha":                        `unknown command "muster node promote"`,
		"node update --availability=drain --role=x": "unknown flag: --role",
	}
	for line, want := range tests {
		t.Run(line, func(t *testing.T) {
			r := c.Run(t, strings.Fields(line)...)
			if r.Status != command.ExitMisuse || !strings.Contains(r.Err, want) || strings.Count(r.Err, "\n") != 1 {
				t.Errorf("exit status %d, %q, want %d and one line with %q", r.Status, r.Err, command.ExitMisuse, want)
			}
		})
	}
	if n := len(c.Requests("UpdateNode")); n > 0 {
		t.Errorf("UpdateNode was called %d times", n)
	}
}
