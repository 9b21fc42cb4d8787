package soak

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/muster/muster/integration/nodes"
	"github.com/muster/muster/integration/nodes/fleet"
)

// action is something that happens to a node.
type action struct {
	name string
	// planned actions lose no request.
	planned bool
	// on chooses the node; any one when nil.
	on func(s *soak) *nodes.Node
	do func(s *soak, n *nodes.Node)
}

func actions() []action {
	return append(plannedActions(), faults()...)
}

func plannedActions() []action {
	return []action{
		{name: "update", planned: true, do: func(s *soak, n *nodes.Node) {
			s.version++
			order := []string{"start-first", "stop-first"}[s.rand.IntN(2)]
			s.manager(n).MustMuster("service", "update", "-q", "--update-order", order, "--env-add", fmt.Sprintf("V=%d", s.version), "web")
		}},
		{name: "scale", planned: true, do: func(s *soak, n *nodes.Node) {
			s.replicas = 3 + s.rand.IntN(8)
			s.manager(n).MustMuster("service", "scale", fmt.Sprintf("web=%d", s.replicas))
		}},
		{name: "drain", planned: true, do: func(s *soak, n *nodes.Node) {
			by := s.manager(n)
			by.MustMuster("node", "update", "--availability", "drain", "--wait", n.Name)
			by.MustMuster("node", "update", "--availability", "active", n.Name)
		}},
		{name: "restart the daemon of", planned: true, do: func(s *soak, n *nodes.Node) {
			n.Stop()
			s.pause(0, 5*time.Second)
			n.Start()
		}},
	}
}

func faults() []action {
	return []action{
		{name: "kill the daemon of", do: func(s *soak, n *nodes.Node) {
			n.KillDaemon()
			s.pause(0, 8*time.Second)
			n.Start()
		}},
		{name: "kill containerd of", do: func(s *soak, n *nodes.Node) { n.KillContainerd() }},
		{name: "kill a task of", do: func(s *soak, n *nodes.Node) { s.signal(n, unix.SIGKILL, "nginx: master") }},
		{name: "kill a shim of", do: func(s *soak, n *nodes.Node) { s.signal(n, unix.SIGKILL, "containerd-shim") }},
		{name: "freeze the daemon of", do: func(s *soak, n *nodes.Node) { s.freeze(n, "muster daemon") }},
		{name: "freeze containerd of", do: func(s *soak, n *nodes.Node) { s.freeze(n, "containerd ") }},
		{name: "cut off", do: func(s *soak, n *nodes.Node) {
			n.Isolate()
			s.pause(time.Second, 12*time.Second)
			n.Heal()
		}},
		{name: "split off with the next node", do: func(s *soak, n *nodes.Node) {
			next := s.other(n)
			s.Split(n, next)
			s.pause(time.Second, 12*time.Second)
			n.Heal()
			next.Heal()
		}},
		{name: "make deaf", do: func(s *soak, n *nodes.Node) { s.oneWay(n, "input") }},
		{name: "make dumb", do: func(s *soak, n *nodes.Node) { s.oneWay(n, "output") }},
		{name: "flush the tables of", do: func(s *soak, n *nodes.Node) { s.sh(n, "nft flush ruleset") }},
		{name: "flush the routes of", do: func(s *soak, n *nodes.Node) { s.sh(n, "ip route flush dev mu0; ip neigh flush dev mu0 nud permanent") }},
		{name: "take the tunnel of", do: func(s *soak, n *nodes.Node) { s.sh(n, "ip link del mu0") }},
		{name: "reboot", do: func(s *soak, n *nodes.Node) {
			n.Kill()
			s.pause(0, 15*time.Second)
			n.Start()
		}},
		{name: "wipe", do: wipe},
		{name: "clone", do: clone},
		{name: "freeze the disk of the leader,", on: (*soak).leader, do: freezeDisk},
		{name: "freeze the disk of a manager that follows,", on: (*soak).follower, do: freezeDisk},
		{name: "freeze the disk of a worker,", on: (*soak).worker, do: freezeDisk},
		{name: "fill the disk of the leader,", on: (*soak).leader, do: fillDisk},
		{name: "fill the disk of", do: fillDisk},
	}
}

// wipe takes a node's state away; it joins again as another one.
func wipe(s *soak, n *nodes.Node) {
	by := s.manager(n)
	role, id := s.role(n), strings.TrimSpace(by.MustMuster("node", "inspect", "--format", "{{.ID}}", n.Name))
	n.Kill()
	if err := n.Disk.Wipe(); err != nil {
		s.t.Fatal(err)
	}
	n.Start()
	by.MustMuster("node", "rm", "--force", id)
	token := strings.TrimSpace(by.MustMuster("swarm", "join-token", "-q", role))
	n.MustMuster("swarm", "join", "--token", token, "--advertise-addr", n.Addr.String(), by.Addr.String()+":2377")
}

// clone starts a machine with a copy of the node's state: it is refused, and
// nobody's tasks suffer.
func clone(s *soak, n *nodes.Node) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := os.RemoveAll(s.spare.StateDir()); err != nil {
		s.t.Fatal(err)
	}
	// A mount or a file that goes meanwhile is no matter: a copy of a running machine is like that.
	out, err := exec.CommandContext(ctx, "cp", "-a", "--one-file-system", n.StateDir(), s.spare.StateDir()).CombinedOutput()
	if err != nil {
		s.t.Logf("copy %s: %v: %.200s", n.Name, err, out)
	}
	before := fleet.IDs(s.Running(s.manager(n), "web"))
	s.spare.Start()
	s.Eventually("the copy to be refused", 30*time.Second, func() error {
		log, err := os.ReadFile(s.spare.LogFile())
		if err == nil && !strings.Contains(string(log), "has a copy of its state directory") {
			err = errors.New(s.spare.LogTail(10))
		}
		return err
	})
	s.pause(time.Second, 5*time.Second)
	if now := fleet.IDs(s.Running(s.manager(n), "web")); !slices.Equal(before, now) {
		s.t.Errorf("the tasks were %v and are %v", before, now)
	}
	s.spare.Kill()
	if err := os.Remove(s.spare.LogFile()); err != nil { // its next life is another copy's
		s.t.Fatal(err)
	}
}

// role is what a node is; the first are managers.
func (s *soak) role(n *nodes.Node) string {
	if slices.Contains(s.Nodes[:managers], n) {
		return "manager"
	}
	return "worker"
}

// other is the node after n.
func (s *soak) other(n *nodes.Node) *nodes.Node {
	for i, m := range s.Nodes {
		if m == n {
			return s.Nodes[(i+1)%len(s.Nodes)]
		}
	}
	return s.Nodes[0]
}

// manager is the first manager after n.
func (s *soak) manager(n *nodes.Node) *nodes.Node {
	for n = s.other(n); s.role(n) != "manager"; {
		n = s.other(n)
	}
	return n
}

// pause lets some random time pass in which the harm lasts.
func (s *soak) pause(least, most time.Duration) {
	time.Sleep(least + time.Duration(s.rand.Int64N(int64(most-least))))
}

func (s *soak) sh(n *nodes.Node, command string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := n.Output(ctx, "sh", "-c", command); err != nil {
		s.t.Fatal(err)
	}
}

// oneWay drops what comes in at a node, or what goes out.
func (s *soak) oneWay(n *nodes.Node, hook string) {
	s.t.Helper()
	s.sh(n, fmt.Sprintf("nft 'table inet deaf { chain c { type filter hook %s priority -300; meta iifname \"lo\" accept; meta oifname \"lo\" accept; drop; }; }'", hook))
	s.pause(time.Second, 12*time.Second)
	s.sh(n, "nft delete table inet deaf")
}

// signal sends a signal to a process of the node whose command line begins
// so, if there is one.
func (s *soak) signal(n *nodes.Node, sig unix.Signal, command string) {
	s.t.Helper()
	all, err := n.Processes()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, p := range all {
		if strings.HasPrefix(filepath.Base(p.Args[0])+" "+strings.Join(p.Args[1:], " "), command) {
			if err := unix.Kill(p.PID, sig); err != nil {
				s.t.Logf("signal %s of %s: %v", p, n.Name, err)
			}
			return
		}
	}
}

func (s *soak) freeze(n *nodes.Node, command string) {
	s.signal(n, unix.SIGSTOP, command)
	s.pause(time.Second, 10*time.Second)
	s.signal(n, unix.SIGCONT, command)
}
