package nodes

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// httpd makes the nodes of a rack run a web server that tells the node's name.
func httpd(t *testing.T, n int) *Rack {
	t.Helper()
	r := Build(t, Config{
		Nodes: n,
		Command: func(n *Node) []string {
			return []string{"busybox", "httpd", "-f", "-p", "80", "-h", n.StateDir()}
		},
		Ready: func(n *Node) error {
			_, err := n.Get("http://127.0.0.1/name")
			return err
		},
	})
	for _, n := range r.Nodes {
		if err := os.WriteFile(filepath.Join(n.StateDir(), "name"), []byte(n.Name+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r.Start()
	return r
}

// reaches returns an error unless from gets n's name from n.
func reaches(from *Namespace, n *Node) error {
	for _, host := range []string{n.Addr.String(), "[" + n.Addr6.String() + "]"} {
		got, err := from.Get("http://" + host + "/name")
		if err != nil {
			return err
		}
		if got != n.Name {
			return fmt.Errorf("%s answered %q", n.Name, got)
		}
	}
	return nil
}

// silent fails the test unless connecting from a namespace to n times out.
func silent(t *testing.T, from *Namespace, n *Node) {
	t.Helper()
	err := from.Do(func() error {
		conn, err := net.DialTimeout("tcp", net.JoinHostPort(n.Addr.String(), "80"), 300*time.Millisecond)
		if err == nil {
			conn.Close()
		}
		return err
	})
	if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() {
		t.Errorf("connect to %s: %v, want a timeout", n.Name, err)
	}
}

func TestNodesReachEachOther(t *testing.T) {
	r := httpd(t, 2)
	for _, n := range r.Nodes {
		for _, from := range []*Namespace{&r.Nodes[0].Namespace, &r.Nodes[1].Namespace, &r.Clients[0].Namespace} {
			if err := reaches(from, n); err != nil {
				t.Errorf("from %s to %s: %v", from.Name, n.Name, err)
			}
		}
	}
	// Outside, the address may be somebody's, but not the node's.
	here := Namespace{Name: "../../proc/self/ns/net"}
	if err := reaches(&here, r.Nodes[0]); err == nil {
		t.Error("a node is reached from outside of the rack")
	}
}

func TestIsolateAndHeal(t *testing.T) {
	r := httpd(t, 2)
	n, client := r.Nodes[0], &r.Clients[0].Namespace
	n.Isolate()
	silent(t, client, n)
	if err := reaches(client, r.Nodes[1]); err != nil {
		t.Errorf("the other node: %v", err)
	}
	n.Heal()
	r.Eventually("the node to be back", 5*time.Second, func() error { return reaches(client, n) })
}

func TestSplit(t *testing.T) {
	r := httpd(t, 3)
	a, b, c := r.Nodes[0], r.Nodes[1], r.Nodes[2]
	r.Split(a, b)
	r.Eventually("the island to hold together", 5*time.Second, func() error { return reaches(&a.Namespace, b) })
	silent(t, &c.Namespace, a)
	silent(t, &r.Clients[0].Namespace, b)
	a.Heal()
	b.Heal()
	r.Eventually("the network to be whole", 5*time.Second, func() error {
		return errors.Join(reaches(&c.Namespace, a), reaches(&c.Namespace, b))
	})
}

func TestStopAndStart(t *testing.T) {
	r := httpd(t, 1)
	n := r.Nodes[0]
	onlyDaemon(n)
	n.KillDaemon()
	if left := n.Leftovers(); len(left) > 0 {
		t.Errorf("left of the daemon: %s", left)
	}
	n.Start()
	n.Stop()
	n.Start()
	if err := reaches(&r.Clients[0].Namespace, n); err != nil {
		t.Error(err)
	}
}

// TestKill powers a node off that holds one of everything a node can hold.
func TestKill(t *testing.T) {
	r := httpd(t, 2)
	n, client := r.Nodes[0], &r.Clients[0].Namespace
	clutter(t, n)
	n.Kill()
	silent(t, client, n)
	if left := n.Leftovers(); len(left) > 0 {
		t.Errorf("left of the node: %s", left)
	}
	if err := reaches(client, r.Nodes[1]); err != nil {
		t.Errorf("the other node: %v", err)
	}
	n.Start()
	r.Eventually("the node to be back", 5*time.Second, func() error { return reaches(client, n) })
	onlyDaemon(n)
}

// onlyDaemon waits until the node holds what it had at boot and its daemon;
// the web server has a process for each request too, which ends with it.
func onlyDaemon(n *Node) {
	n.rack.t.Helper()
	n.rack.Eventually("nothing but the daemon to be there", 5*time.Second, func() error {
		if left := n.Leftovers().String(); left != "process busybox" {
			return fmt.Errorf("the node holds:\n%s", left)
		}
		return nil
	})
}

// clutter makes n hold a mount, a cgroup with a process in a namespace of its
// own, a link, a route, a rule and nftables objects; it checks that each is listed.
func clutter(t *testing.T, n *Node) {
	t.Helper()
	script := fmt.Sprintf(`set -e
mkdir -p %[1]s/tmpfs && mount -t tmpfs muster-test %[1]s/tmpfs
for root in /sys/fs/cgroup/pids /sys/fs/cgroup; do
  if mkdir -p $root%[2]s/task 2>/dev/null; then break; fi
done
setsid unshare --net sh -c "echo \$\$ > $root%[2]s/task/cgroup.procs; exec sleep 1000" >/dev/null 2>&1 &
ip link add veth0 type veth peer name veth1
ip link set veth0 up
ip route add 192.0.2.0/24 dev veth0
ip rule add fwmark 7 table 7
nft add table ip clutter
nft add set ip clutter ports '{ type inet_service; elements = { 80, 81 }; }'
`, n.RunDir(), n.Cgroup())
	if _, err := n.Output(t.Context(), "sh", "-c", script); err != nil {
		t.Fatal(err)
	}
	n.rack.Eventually("the clutter to be listed", 5*time.Second, func() error {
		left := n.Leftovers().String()
		for _, want := range []string{
			"process sleep", "mount " + n.RunDir() + "/tmpfs", n.Cgroup() + "/task", "link veth0",
			"route 192.0.2.0/24 dev veth0", "rule 32765: from all fwmark 0x7 lookup 7",
			"nft table ip clutter", "nft set ip clutter ports", "nft element ip clutter ports 81",
		} {
			if !strings.Contains(left, want) {
				return fmt.Errorf("%q is not in:\n%s", want, left)
			}
		}
		return nil
	})
}
