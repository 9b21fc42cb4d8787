package swarm_test

import (
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/cli/clitest"
	"github.com/muster/muster/cli/command"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	nodepb "github.com/muster/muster/proto/node/v1"
)

// token is one of the right form.
var token = "MSTR-1-" + strings.Repeat("a", 50) + "-" + strings.Repeat("b", 25)

func run(t *testing.T, c *clitest.Cluster, line string) string {
	t.Helper()
	r := c.Run(t, strings.Fields(line)...)
	if r.Status != command.ExitOK {
		t.Fatalf("%s: exit status %d: %s", line, r.Status, r.Err)
	}
	return r.Out
}

func TestInit(t *testing.T) {
	c := clitest.Start(t)
	got := run(t, c, "swarm init --advertise-addr eth0:2400 --listen-addr 0.0.0.0:2400 --data-path-addr 192.0.2.1 --data-path-port 5000 --default-addr-pool 10.200.0.0/16 --availability drain --cert-expiry 48h --dispatcher-heartbeat 2s --task-history-limit -1 --force-new-cluster")
	if !strings.Contains(got, "    muster swarm join --token MSTR-1-digest-worker 192.0.2.1:2377\n") || !strings.Contains(got, "join-token manager") {
		t.Errorf("output = %q, want the join command", got)
	}
	if !strings.HasPrefix(got, "The cluster continues with node ") {
		t.Errorf("output = %q, want to be told that no new cluster was made", got)
	}
	r := c.Requests("InitCluster")[0].Message.(*nodepb.InitClusterRequest)
	if r.GetAdvertiseAddr() != "eth0:2400" || r.GetListenAddr() != "0.0.0.0:2400" || r.GetDataPathAddr() != "192.0.2.1" ||
		r.GetDataPathPort() != 5000 || r.GetDefaultAddrPool() != "10.200.0.0/16" || !r.GetForceNewCluster() ||
		r.GetAvailability() != clusterpb.NodeSpec_AVAILABILITY_DRAIN {
		t.Errorf("request = %v", r)
	}
	s := r.GetSpec()
	if s.GetCertExpiry().AsDuration() != 48*time.Hour || s.GetHeartbeatPeriod().AsDuration() != 2*time.Second || s.GetTaskHistoryLimit() != -1 {
		t.Errorf("settings = %v", s)
	}
}

func TestInitTwice(t *testing.T) {
	c := clitest.Start(t)
	c.Fail("InitCluster", errdefs.ErrFailedPrecondition.WithMessage("this node is part of a cluster already"))
	r := c.Run(t, "swarm", "init")
	if r.Status != command.ExitFailure || r.Err != "muster: this node is part of a cluster already\n" {
		t.Errorf("%+v", r)
	}
}

func TestJoin(t *testing.T) {
	c := clitest.Start(t)
	if got := run(t, c, "swarm join --token "+token+" --availability pause manager.example.com"); got != "This node joined the cluster as a worker: node\n" {
		t.Errorf("output = %q", got)
	}
	r := c.Requests("JoinCluster")[0].Message.(*nodepb.JoinClusterRequest)
	if r.GetToken() != token || r.GetRemoteAddr() != "manager.example.com" || r.GetAvailability() != clusterpb.NodeSpec_AVAILABILITY_PAUSE {
		t.Errorf("request = %v", r)
	}
}

func TestJoinToken(t *testing.T) {
	c := clitest.Start(t)
	if got := run(t, c, "swarm join-token -q manager"); got != "MSTR-1-digest-manager\n" {
		t.Errorf("output = %q", got)
	}
	got := run(t, c, "swarm join-token --rotate worker")
	if !strings.Contains(got, "is a new one") || !strings.Contains(got, "muster swarm join --token MSTR-1-digest-worker 192.0.2.1:2377") {
		t.Errorf("output = %q", got)
	}
	reads, rotations := c.Requests("GetJoinToken"), c.Requests("RotateJoinToken")
	if len(reads) != 1 || len(rotations) != 1 || rotations[0].Message.(*controlpb.RotateJoinTokenRequest).GetRole() != clusterpb.NodeRole_NODE_ROLE_WORKER {
		t.Fatalf("reads = %v, rotations = %v", reads, rotations)
	}
	if rotations[0].RequestID == "" {
		t.Error("a rotation that is repeated would rotate twice: it has no request id")
	}
}

func TestLeave(t *testing.T) {
	c := clitest.Start(t)
	if r := c.Run(t, "swarm", "leave"); r.Status != command.ExitFailure || r.Err != "muster: this node is a manager: leave with --force\n" {
		t.Errorf("%+v", r)
	}
	if got := run(t, c, "swarm leave -f"); got != "This node has left the cluster.\n" {
		t.Errorf("output = %q", got)
	}
}

func TestUpdateKeepsWhatIsNotNamed(t *testing.T) {
	c := clitest.Start(t)
	run(t, c, "swarm update --cert-expiry 3h")
	c.Fail("UpdateCluster", errdefs.ErrConflict) // tried anew
	run(t, c, "swarm update --task-history-limit 2")
	requests := c.Requests("UpdateCluster")
	last := requests[len(requests)-1].Message.(*controlpb.UpdateClusterRequest)
	if last.GetSpec().GetCertExpiry().AsDuration() != 3*time.Hour || last.GetSpec().GetTaskHistoryLimit() != 2 || last.GetVersion() != 3 {
		t.Errorf("request = %v", last)
	}
}

func TestBadInput(t *testing.T) {
	c := clitest.Start(t)
	tests := map[string]string{
		"swarm init --advertise-addr 192.0.2.1:99999":     `--advertise-addr "192.0.2.1:99999": must be an IP address or the name of an interface`,
		"swarm init --advertise-addr 192.0.2":             `--advertise-addr "192.0.2"`,
		"swarm init --data-path-addr eth0:1":              `--data-path-addr "eth0:1"`,
		"swarm init --data-path-port 80":                  `--data-path-port "80": must be a port from 1024 to 49151`,
		"swarm init --default-addr-pool 10.0.0.1/8":       `--default-addr-pool "10.0.0.1/8": must be a network`,
		"swarm init --cert-expiry 1m":                     `--cert-expiry "1m": must be at least 1h0m0s`,
		"swarm init --availability maybe":                 `--availability "maybe"`,
		"swarm init --autolock":                           "unknown flag: --autolock",
		"swarm init extra":                                "takes no argument",
		"swarm join 192.0.2.1":                            "--token is missing",
		"swarm join --token MSTR-1-short 192.0.2.1":       "join token",
		"swarm join --token SWMTKN-1-a-b 192.0.2.1":       "join token",
		"swarm join --token " + token + " 192.0.2.1:0":    `"192.0.2.1:0": must be HOST[:PORT]`,
		"swarm join --token " + token + " http://a:1":     `"http://a:1": must be HOST[:PORT]`,
		"swarm join --token " + token:                     "needs 1 argument",
		"swarm join-token boss":                           `"boss": must be worker or manager`,
		"swarm update":                                    "nothing to change",
		"swarm update --task-history-limit 1.5":           `--task-history-limit "1.5"`,
		"--host tcp://192.0.2.1 swarm init":               "works on the daemon of this machine only",
		"--host 192.0.2.1 swarm init":                     `--host "192.0.2.1": must be unix:///PATH or tcp://HOST[:PORT]`,
		"--host tcp://192.0.2.1:x service ls":             `--host "tcp://192.0.2.1:x"`,
		"--no-such-flag swarm init":                       "unknown flag: --no-such-flag",
		"swarm leave --force=perhaps":                     `--force "perhaps": must be true or false`,
		"swarm init --dispatcher-heartbeat 1ms":           `--dispatcher-heartbeat "1ms": must be at least 100ms`,
		"swarm init --listen-addr [::1]:65536":            `--listen-addr "[::1]:65536"`,
		"swarm init --default-addr-pool 10.0.0.0/33":      `--default-addr-pool "10.0.0.0/33"`,
		"swarm join --availability x --token t 192.0.2.1": `--availability "x"`,
	}
	for line, want := range tests {
		t.Run(line, func(t *testing.T) {
			r := c.Run(t, strings.Fields(line)...)
			if r.Status != command.ExitMisuse || !strings.Contains(r.Err, want) || strings.Count(r.Err, "\n") != 1 {
				t.Errorf("exit status %d, %q, want %d and one line with %q", r.Status, r.Err, command.ExitMisuse, want)
			}
			if strings.Contains(r.Err, token) {
				t.Errorf("%q gives the token away", r.Err)
			}
		})
	}
	if len(c.Requests("InitCluster"))+len(c.Requests("JoinCluster")) > 0 {
		t.Error("bad input reached the daemon")
	}
}
