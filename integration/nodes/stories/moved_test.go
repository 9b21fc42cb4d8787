package stories

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/integration/nodes"
	"github.com/muster/muster/integration/nodes/fleet"
	"github.com/muster/muster/integration/pack"
)

// readdress gives the machine another address, as DHCP may.
func readdress(t *testing.T, node *nodes.Node, addr netip.Addr) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	out, err := node.Output(ctx, "sh", "-ec", fmt.Sprintf(
		"set -- $(ip -o -4 addr show to %s); ip addr del $4 dev $2; ip addr add %s/${4#*/} dev $2", node.Addr, addr))
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	node.Addr = addr
}

// TestMachineGetsAnotherAddress: a manager whose daemon starts at another address
// says where it is now, and its tasks, which run on, answer again through every
// node.
func TestMachineGetsAnotherAddress(t *testing.T) {
	c := fleet.Start(t, 3, 3)
	c.Load(pack.Nginx("nginx:latest"))
	first, moved := c.Nodes[0], c.Nodes[2]
	first.MustMuster("service", "create", "-q", "--replicas", "3", "--replicas-max-per-node", "1", "--name", "web", "-p", "8111:80", "nginx:latest")
	before := fleet.IDs(c.Running(first, "web"))
	last := moved.Addr.As4()
	last[3] += 100
	moved.Stop()
	readdress(t, moved, netip.AddrFrom4(last))
	moved.Start()
	c.Eventually("the node to be unwell", 30*time.Second, func() error {
		r := first.Muster("node", "ls")
		if !strings.Contains(r.Stderr, "muster swarm move") {
			return fmt.Errorf("it says\n%s%s", r.Stdout, r.Stderr)
		}
		return nil
	})
	if out := moved.MustMuster("swarm", "move"); out != fmt.Sprintf("This node is now at %s:2377.\n", moved.Addr) {
		t.Errorf("it says %q", out)
	}
	c.AwaitReady(3)
	c.Eventually("all replicas to answer through every node", fleet.Converge, func() error {
		return answersEverywhere(c, c.Nodes, 8111, 3)
	})
	if after := fleet.IDs(c.Running(first, "web")); strings.Join(after, " ") != strings.Join(before, " ") {
		t.Errorf("tasks %v run, want %v still", after, before)
	}
	// Its vote counts: the other one may go.
	c.Nodes[1].Kill()
	first.MustMuster("service", "scale", "-d", "web=2")
}
