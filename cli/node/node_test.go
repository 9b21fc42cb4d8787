package node_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"

	"github.com/muster/muster/cli/clitest"
	"github.com/muster/muster/cli/command"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/docker/dockertest"
	nodepb "github.com/muster/muster/proto/node/v1"
)

// daemon has two nodes, of which it is the first, and a kernel.
type daemon struct {
	nodepb.UnimplementedLocalServiceServer
	controlpb.UnimplementedNodeServiceServer

	nodes                 []*controlpb.NodeView
	differences, findings []string
}

func serve(t *testing.T) (*daemon, clitest.Daemon) {
	t.Helper()
	beta := dockertest.Node()
	beta.Leader, beta.Manager, beta.Gossip = false, controlpb.NodeView_REACHABILITY_UNSPECIFIED, "suspect"
	n := beta.GetNode()
	n.Id, n.Role, n.Description.Hostname, n.Status.State = strings.Repeat("b", 25), clusterpb.NodeRole_NODE_ROLE_WORKER, "beta", clusterpb.NodeStatus_STATE_DOWN
	d := &daemon{nodes: []*controlpb.NodeView{beta, dockertest.Node()}}
	return d, clitest.Serve(t, func(r grpc.ServiceRegistrar) {
		nodepb.RegisterLocalServiceServer(r, d)
		controlpb.RegisterNodeServiceServer(r, d)
	})
}

// GetStatus tells that this is the second node of the list.
func (d *daemon) GetStatus(context.Context, *nodepb.GetStatusRequest) (*nodepb.GetStatusResponse, error) {
	return &nodepb.GetStatusResponse{NodeId: d.nodes[1].GetNode().GetId()}, nil
}

// Diagnose tells the differences.
func (d *daemon) Diagnose(context.Context, *nodepb.DiagnoseRequest) (*nodepb.DiagnoseResponse, error) {
	return &nodepb.DiagnoseResponse{Differences: d.differences, Findings: d.findings, AppliedIndex: 42, Repairs: 1}, nil
}

// ListNodes returns both nodes.
func (d *daemon) ListNodes(context.Context, *controlpb.ListNodesRequest) (*controlpb.ListNodesResponse, error) {
	return &controlpb.ListNodesResponse{Nodes: d.nodes}, nil
}

// GetNode returns this node.
func (d *daemon) GetNode(context.Context, *controlpb.GetNodeRequest) (*controlpb.GetNodeResponse, error) {
	return &controlpb.GetNodeResponse{Node: d.nodes[1]}, nil
}

func squeeze(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	for i, line := range lines {
		lines[i] = strings.Join(strings.Fields(line), " ")
	}
	return strings.Join(lines, "\n")
}

func TestList(t *testing.T) {
	_, d := serve(t)
	tests := map[string]string{
		"node ls": `
ID                            HOSTNAME   STATUS    AVAILABILITY   MANAGER STATUS   ENGINE VERSION
0123456789abcdefghijklmno *   alpha      Ready     Drain          Leader           1.0
bbbbbbbbbbbbbbbbbbbbbbbbb     beta       Down      Drain                           1.0`,
		"node ls -f role=worker --format {{.Hostname}}":         "beta",
		"node ls -f node.label=zone=a --format {{.Self}}":       "true\nfalse",
		"node ls --format {{if.Self}}{{.Gossip}}{{end}}":        "alive",
		"node ls -f label=disk=hdd -q":                          "",
		"node ls -f name=be --format {{.Hostname}}/{{.Status}}": "beta/Down",
	}
	for line, want := range tests {
		r := d.Run(t, strings.Fields(line)...)
		if got := squeeze(r.Out); r.Status != command.ExitOK || got != squeeze(want) {
			t.Errorf("%s: %s\n%s\nwant:\n%s", line, r.Err, got, squeeze(want))
		}
	}
}

func TestPrettyAsFormat(t *testing.T) {
	_, d := serve(t)
	want, got := d.Run(t, "node", "inspect", "--pretty", "alpha"), d.Run(t, "node", "inspect", "--format", "pretty", "alpha")
	if got.Status != command.ExitOK || got.Out != want.Out {
		t.Errorf("%s%s\nwant:\n%s", got.Err, got.Out, want.Out)
	}
}

func TestPretty(t *testing.T) {
	_, d := serve(t)
	want := `ID:                 0123456789abcdefghijklmno
Hostname:           alpha
Labels:
 - zone=a
Joined:             about an hour ago
Role:               manager
Status:
 State:             Ready
 Since:             about a minute ago
 Message:           well
 Availability:      Drain
 Address:           192.0.2.1
 Gossip:            alive
Manager Status:
 Address:           192.0.2.1:2377
 Reachability:      Reachable
 Leader:            Yes
Platform:
 Operating System:  linux
 Architecture:      x86_64
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
	r := d.Run(t, "node", "inspect", "--pretty", "self")
	if diff := cmp.Diff(want, r.Out); diff != "" {
		t.Errorf("%s (-want +got):\n%s", r.Err, diff)
	}
}

func TestDoctorTellsDifferences(t *testing.T) {
	fake, d := serve(t)
	fake.differences, fake.findings = []string{"route to beta is missing"}, []string{"beta does not answer"}
	r := d.Run(t, "node", "doctor")
	if r.Status != command.ExitFailure || r.Out != "route to beta is missing\nbeta does not answer\napplied index 42, repairs so far 1\n" {
		t.Errorf("%+v, want the difference, the finding and failure", r)
	}
	want := `{"Differences":["route to beta is missing"],"Findings":["beta does not answer"],"AppliedIndex":42,"Repairs":1}` + "\n"
	if r := d.Run(t, "node", "doctor", "--format", "json"); r.Status != command.ExitFailure || r.Out != want {
		t.Errorf("%+v, want %s and failure", r, want)
	}
	if r := d.Run(t, "node", "doctor", "-f", "{{.Colour}}"); r.Status != command.ExitMisuse {
		t.Errorf("%+v, want a misuse", r)
	}
	fake.differences = nil
	if r := d.Run(t, "node", "doctor"); r.Status != command.ExitFailure || !strings.HasPrefix(r.Out, "beta does not answer\n") {
		t.Errorf("%+v, want the finding and failure", r)
	}
	fake.findings = nil
	if r := d.Run(t, "node", "doctor"); r.Status != command.ExitOK {
		t.Errorf("%+v, though all is well", r)
	}
}

// TestListSaysWhy: the state is one word; why it is so stands below.
func TestListSaysWhy(t *testing.T) {
	_, d := serve(t)
	if r := d.Run(t, "node", "ls"); r.Err != "alpha: well\nbeta: well\n" {
		t.Errorf("below the list it says %q", r.Err)
	}
	for _, line := range []string{"node ls -q", "node ls --format json", "node ls -f name=nobody"} {
		if r := d.Run(t, strings.Fields(line)...); r.Err != "" {
			t.Errorf("%s: it says %q", line, r.Err)
		}
	}
}

func TestNodeListByMembership(t *testing.T) {
	_, d := serve(t)
	for membership, want := range map[string]int{"accepted": 2, "pending": 0} {
		r := d.Run(t, "node", "ls", "-q", "--filter", "membership="+membership)
		if r.Status != command.ExitOK || strings.Count(r.Out, "\n") != want {
			t.Errorf("membership=%s: %+v, want %d nodes", membership, r, want)
		}
	}
}
