package stories

import (
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/integration/nodes"
	"github.com/muster/muster/integration/nodes/fleet"
)

// TestPublishedPorts publishes ports in every other way than TCP on a port of
// the user's choice.
func TestPublishedPorts(t *testing.T) {
	c := fleet.Start(t, 2, 1)
	first, client := c.Nodes[0], &c.Clients[0].Namespace
	slow(t, c)
	create := func(name, publish string) {
		t.Helper()
		first.MustMuster("service", "create", "-q", "--replicas", "2", "--name", name, "-p", publish,
			"--env", "START_DELAY=0s", "--env", "STOP_DELAY=0s", "--stop-grace-period", "1s", "--update-monitor", "0s", "slow:latest")
	}
	// answers waits until a service is answered through a node by its tasks on
	// the nodes named.
	answers := func(t *testing.T, service string, get func(*nodes.Node) (string, error), through *nodes.Node, want ...string) {
		t.Helper()
		nodeOf := make(map[string]string)
		for _, task := range c.Running(first, service) {
			nodeOf[task.ID[:12]] = task.Node
		}
		c.Eventually(fmt.Sprintf("%v to answer through %s", want, through.Name), 20*time.Second, func() error {
			seen := make(map[string]bool)
			for range 6 {
				answer, err := get(through)
				if err != nil {
					return err
				}
				seen[nodeOf[answer]] = true
			}
			for _, name := range want {
				if !seen[name] || len(seen) != len(want) {
					return fmt.Errorf("%v answer", seen)
				}
			}
			return nil
		})
	}
	web := func(port int) func(*nodes.Node) (string, error) {
		return func(n *nodes.Node) (string, error) {
			body, err := client.Get(fmt.Sprintf("http://%s:%d/", n.Addr, port))
			return strings.TrimSpace(body), err
		}
	}

	t.Run("udp", func(t *testing.T) {
		create("udp", "5300:8080/udp")
		for _, n := range c.Nodes {
			answers(t, "udp", func(n *nodes.Node) (string, error) { return askUDP(client, n.Addr.String()+":5300") }, n, "node1", "node2")
		}
		answers(t, "udp", func(*nodes.Node) (string, error) { return askUDP(&first.Namespace, "127.0.0.1:5300") }, first, "node1", "node2")
	})
	t.Run("a port of the cluster's choice", func(t *testing.T) {
		create("auto", "8080")
		out := first.MustMuster("service", "ls", "--filter", "name=auto", "--format", "{{.Ports}}")
		m := regexp.MustCompile(`^\*:(\d+)->8080/tcp\n$`).FindStringSubmatch(out)
		if m == nil {
			t.Fatalf("ports %q", out)
		}
		port, err := strconv.Atoi(m[1])
		if err != nil || port < 30000 || port > 32767 {
			t.Errorf("port %s, want one of 30000 to 32767", m[1])
		}
		for _, n := range c.Nodes {
			answers(t, "auto", web(port), n, "node1", "node2")
		}
	})
	t.Run("on the nodes that run it", func(t *testing.T) {
		create("host", "mode=host,target=8080,published=8200")
		for _, n := range c.Nodes {
			answers(t, "host", web(8200), n, n.Name)
		}
		first.MustMuster("service", "scale", "-d", "host=3")
		c.Eventually("the third task to say what it waits for", fleet.Converge, func() error {
			out := first.MustMuster("service", "ps", "--no-trunc", "--format", "{{.CurrentState}} {{.Error}}", "host")
			if !regexp.MustCompile(`Pending .*port`).MatchString(out) {
				return fmt.Errorf("tasks are\n%s", out)
			}
			return nil
		})
		first.MustMuster("service", "scale", "-d", "host=1")
		c.Eventually("one node to answer no more", fleet.Converge, func() error {
			refused := 0
			for _, n := range c.Nodes {
				if _, err := web(8200)(n); err != nil && strings.Contains(err.Error(), "refused") {
					refused++
				}
			}
			if refused != 1 {
				return fmt.Errorf("%d of two refuse", refused)
			}
			return nil
		})
	})
}

// askUDP sends a datagram and returns the answer.
func askUDP(from *nodes.Namespace, addr string) (answer string, err error) {
	var conn net.Conn
	if err := from.Do(func() (err error) {
		conn, err = net.Dial("udp", addr)
		return err
	}); err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(3 * time.Second)); err != nil {
		return "", err
	}
	if _, err := conn.Write([]byte("?")); err != nil {
		return "", err
	}
	buf := make([]byte, 1500)
	n, err := conn.Read(buf)
	return string(buf[:n]), err
}
