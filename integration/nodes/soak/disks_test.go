package soak

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/muster/muster/integration/nodes"
	"github.com/muster/muster/integration/nodes/fleet"
)

// told bounds how long it takes until a node is known to be unwell.
const told = 30 * time.Second

// freezeDisk has the disk of a node stand still. That costs no task, not even
// its own, and no command, not even one that it is given.
func freezeDisk(s *soak, n *nodes.Node) {
	stays := s.stay(func(fleet.Task) bool { return true })
	s.must(n.Disk.Freeze())
	if s.role(n) == "manager" {
		n.MustMuster("service", "update", "-d", "-q", "--label-add", "frozen="+n.Name, "ledger")
	}
	s.pause(0, 10*time.Second)
	if s.rand.IntN(2) == 0 {
		s.unwell(n)
	}
	stays()
	s.must(n.Disk.Thaw())
}

// fillDisk takes all room on the disk of a node. That costs no other node's
// task. A manager that cannot write its vote down ends; systemd starts it again.
func fillDisk(s *soak, n *nodes.Node) {
	stays := s.stay(func(t fleet.Task) bool { return t.Node != n.Name })
	s.must(n.Disk.Fill())
	s.pause(0, 10*time.Second)
	_, ended := n.Process("muster", "daemon")
	if ended == nil && s.rand.IntN(2) == 0 {
		s.unwell(n)
	}
	stays()
	s.must(n.Disk.Free())
	if _, ended := n.Process("muster", "daemon"); ended != nil {
		s.t.Logf("the daemon of %s has ended: %s", n.Name, n.LogTail(1))
		n.Start()
	}
}

// unwell waits until others say that the node's disk does not take what it writes.
func (s *soak) unwell(n *nodes.Node) {
	s.t.Helper()
	s.Eventually(n.Name+" to be unwell", told, func() error {
		r := s.manager(n).Muster("node", "ls")
		if !strings.Contains(r.Stdout, " Unwell ") || !strings.Contains(r.Stderr, n.Name+": state directory: ") {
			return fmt.Errorf("it says\n%s%s", r.Stdout, r.Stderr)
		}
		return nil
	})
}

// stay notes the tasks of which fits says so; what it returns fails the test
// unless they run then.
func (s *soak) stay(fits func(fleet.Task) bool) (check func()) {
	s.t.Helper()
	tasks := slices.DeleteFunc(s.Running(s.Nodes[0], "web"), func(t fleet.Task) bool { return !fits(t) })
	return func() {
		s.t.Helper()
		now := fleet.IDs(s.Running(s.manager(s.Nodes[0]), "web"))
		for _, t := range tasks {
			if !slices.Contains(now, t.ID) {
				s.t.Errorf("%s on %s does not run any more", t.Name, t.Node)
			}
		}
	}
}

// leader is the manager that leads.
func (s *soak) leader() *nodes.Node { return s.leading(true) }

// follower is a manager that does not lead.
func (s *soak) follower() *nodes.Node { return s.leading(false) }

// leading is a manager that leads, or does not.
func (s *soak) leading(leads bool) *nodes.Node {
	s.t.Helper()
	name := strings.TrimSpace(s.Nodes[0].MustMuster("node", "ls", "--format", `{{if eq .ManagerStatus "Leader"}}{{.Hostname}}{{end}}`))
	of := slices.DeleteFunc(slices.Clone(s.Nodes[:managers]), func(n *nodes.Node) bool { return (n.Name == name) != leads })
	return of[s.rand.IntN(len(of))]
}

// worker is a node that is no manager.
func (s *soak) worker() *nodes.Node { return s.Nodes[managers+s.rand.IntN(members-managers)] }

func (s *soak) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}
