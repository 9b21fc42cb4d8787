package stories

import (
	"strings"
	"testing"

	"github.com/muster/muster/integration/nodes"
	"github.com/muster/muster/integration/nodes/fleet"
	"github.com/muster/muster/integration/pack"
)

// TestBadInput gives what cannot work: one line that names the value, another
// exit status than 0, and nothing changed.
func TestBadInput(t *testing.T) {
	c := fleet.Start(t, 2, 1)
	manager, worker := c.Nodes[0], c.Nodes[1]
	c.Load(pack.Busybox("busybox:latest"), manager)
	manager.MustMuster("service", "create", "-d", "--name", "taken", "-p", "8080:80", "busybox:latest", "sleep", "1000000")
	token := strings.TrimSpace(manager.MustMuster("swarm", "join-token", "-q", "worker"))
	state := func() string {
		return manager.MustMuster("service", "ls", "--format", "{{.Name}} {{.Ports}}") + manager.MustMuster("node", "ls", "-q")
	}
	before := state()
	create := func(args ...string) []string {
		return append([]string{"service", "create", "--name", "other"}, append(args, "busybox:latest", "sleep", "1000000")...)
	}
	tests := map[string]struct {
		on   *nodes.Node
		args []string
		want []string
	}{
		"unknown image":         {manager, []string{"service", "create", "nosuch.invalid/thing:1"}, []string{"nosuch.invalid/thing:1", "image load"}},
		"port taken":            {manager, create("-p", "8080:80"), []string{"8080", "taken"}},
		"bad port":              {manager, create("-p", "80000:80"), []string{"80000"}},
		"port of no protocol":   {manager, create("-p", "80:80/icmp"), []string{"icmp"}},
		"bad duration":          {manager, create("--update-delay", "soon"), []string{"soon"}},
		"bad size":              {manager, create("--limit-memory", "lots"), []string{"lots"}},
		"too little memory":     {manager, create("--limit-memory", "1m"), []string{"1m", "4m"}},
		"bad constraint":        {manager, create("--constraint", "node.rol=worker"), []string{"node.rol"}},
		"negative replicas":     {manager, create("--replicas", "-1"), []string{"-1"}},
		"name taken":            {manager, []string{"service", "create", "--name", "taken", "busybox:latest"}, []string{"taken"}},
		"bad name":              {manager, []string{"service", "create", "--name", "a.b", "busybox:latest"}, []string{"a.b"}},
		"no such service":       {manager, []string{"service", "scale", "nosuch=2"}, []string{"nosuch"}},
		"no such node":          {manager, []string{"node", "inspect", "nosuch"}, []string{"nosuch"}},
		"no such command":       {manager, []string{"service", "crate"}, []string{"crate"}},
		"a second init":         {manager, []string{"swarm", "init"}, []string{"swarm leave"}},
		"a member that joins":   {worker, []string{"swarm", "join", "--token", token, manager.Addr.String()}, []string{"swarm leave"}},
		"a command on a worker": {worker, []string{"service", "ls"}, []string{"worker", manager.Addr.String()}},
		"the last manager":      {manager, []string{"swarm", "leave"}, []string{"last manager", "--force"}},
		"a ready node":          {manager, []string{"node", "rm", worker.Name}, []string{worker.Name, "--force"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) { refused(t, tt.on, tt.args, tt.want...) })
	}
	if after := state(); after != before {
		t.Errorf("the cluster changed from\n%s\nto\n%s", before, after)
	}

	t.Run("joining", func(t *testing.T) {
		worker.MustMuster("swarm", "leave")
		for name, tt := range map[string]struct{ token, addr, want string }{
			"a dead address":      {token, "10.77.250.250:2377", "10.77.250.250"},
			"a closed port":       {token, manager.Addr.String() + ":2399", "2399"},
			"a truncated token":   {token[:len(token)-5], manager.Addr.String(), "token"},
			"a wrong secret":      {token[:len(token)-5] + "00000", manager.Addr.String(), "token"},
			"another cluster":     {strings.Replace(token, token[7:12], "00000", 1), manager.Addr.String(), "cluster"},
			"a token of Docker's": {"SWMTKN-1-abc-def", manager.Addr.String(), "Docker"},
		} {
			t.Run(name, func(t *testing.T) {
				refused(t, worker, []string{"swarm", "join", "--token", tt.token, tt.addr}, tt.want)
				if out := worker.MustMuster("info", "--format", "{{.State}}"); strings.TrimSpace(out) != "inactive" {
					t.Errorf("the node is %s", out)
				}
			})
		}
		c.Join(worker, "worker")
		c.AwaitReady(2)
	})

	t.Run("a daemon that is not running", func(t *testing.T) {
		worker.Stop()
		refused(t, worker, []string{"service", "ls"}, worker.Socket(), "muster daemon")
	})
}

// refused runs a command that must fail with one line that has all of want.
func refused(t *testing.T, on *nodes.Node, args []string, want ...string) {
	t.Helper()
	res := on.Muster(args...)
	if res.Exit == 0 {
		t.Fatalf("muster %s was accepted:\n%s", strings.Join(args, " "), res.Stdout)
	}
	if lines := strings.Count(res.Stderr, "\n"); lines != 1 {
		t.Errorf("the error has %d lines:\n%s", lines, res.Stderr)
	}
	for _, w := range want {
		if !strings.Contains(res.Stderr, w) {
			t.Errorf("the error does not name %q: %s", w, res.Stderr)
		}
	}
}
