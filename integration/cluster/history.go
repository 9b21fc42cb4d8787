package cluster

import (
	"errors"
	"fmt"
	"iter"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	networks "github.com/muster/muster/proto/network"
	"github.com/muster/muster/proto/port"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore"
	"github.com/muster/muster/raftstore/state"
)

// History replays what the cluster has committed, and yields every state that
// it ever was in, oldest first.
func (c *Cluster) History() iter.Seq[*state.State] { return c.witness().history() }

// witness is the log of the manager that has applied most.
type witness struct {
	disk *raftstore.Memory
	upTo uint64 // what is known to be committed
}

func (n witness) history() iter.Seq[*state.State] {
	return func(yield func(*state.State) bool) {
		s, err := beginning(n.disk)
		if err != nil || !yield(s) {
			return
		}
		_ = eachEntry(n.disk, func(l *raft.Log) error {
			if l.Type != raft.LogCommand || l.Index > n.upTo {
				return nil
			}
			cmd := new(raftpb.Command)
			if err := proto.Unmarshal(l.Data, cmd); err != nil {
				return err
			}
			s, _ = s.Apply(l.Index, cmd)
			if !yield(s) {
				return errStop
			}
			return nil
		})
	}
}

// beginning is the state before the first entry of a log: an empty one, unless
// a new cluster was forced, which keeps a snapshot in the place of the log.
func beginning(m *raftstore.Memory) (*state.State, error) {
	metas, err := m.Snapshots.List()
	if err != nil || len(metas) == 0 {
		return state.NewState(), err
	}
	_, from, err := m.Snapshots.Open(metas[0].ID)
	if err != nil {
		return nil, err
	}
	s, err := state.ReadSnapshot(from)
	return s, errors.Join(err, from.Close())
}

var errStop = errors.New("stop")

// witness needs a manager that is up.
func (c *Cluster) witness() (w witness) {
	c.t.Helper()
	for _, n := range c.Nodes {
		if s := c.StateOn(n); s != nil && (w.disk == nil || s.Index > w.upTo) {
			w = witness{n.disk, s.Index}
		}
	}
	if w.disk == nil {
		c.t.Fatal("no manager is up to tell what was")
	}
	return w
}

// check looks for what must hold in every state.
func (c *Cluster) check(w witness) {
	c.t.Helper()
	checked := checker{before: state.NewState(), drained: make(map[string]bool)}
	for s := range w.history() {
		problems := checked.next(s)
		for _, problem := range problems {
			c.t.Errorf("state %d: %s", s.Index, problem)
		}
		if len(problems) > 0 {
			return // what follows is most likely the same
		}
	}
}

// checker looks at one state after the other.
type checker struct {
	before *state.State
	// drained are the nodes that were ever drained, or shut down: what moved off them ran
	// beside its replacement.
	drained map[string]bool
}

// next returns what is wrong with the next state.
func (c *checker) next(now *state.State) (problems []string) {
	before := c.before
	c.before = now
	for n := range now.Nodes() {
		if n.GetSpec().GetAvailability() == clusterpb.NodeSpec_AVAILABILITY_DRAIN || n.GetDescription().GetStopping() {
			c.drained[n.GetId()] = true
		}
	}
	problems = append(problems, ports(now)...)
	owners, slots := make(map[string]string), make(map[string]string)
	for t := range now.Tasks() {
		if old, ok := before.Task(t.GetId()); ok {
			problems = append(problems, onward(old, t)...)
		}
		if lifecycle.Ended(t.GetStatus().GetState()) {
			continue
		}
		for _, a := range networks.Addresses(t.GetAttachments()) {
			if other, taken := owners[a]; taken {
				problems = append(problems, fmt.Sprintf("tasks %s and %s both have address %s", other, t.GetId(), a))
			}
			owners[a] = t.GetId()
		}
		if !c.alone(t) {
			continue
		}
		key := fmt.Sprintf("%s.%d", t.GetServiceId(), t.GetSlot())
		if other, taken := slots[key]; taken {
			problems = append(problems, fmt.Sprintf("tasks %s and %s are both to run in slot %d of %s", other, t.GetId(), t.GetSlot(), t.GetServiceName()))
		}
		slots[key] = t.GetId()
	}
	return problems
}

// ports returns published ports that two services have.
func ports(s *state.State) (problems []string) {
	published := make(map[port.Key]string)
	for svc := range s.Services() {
		for _, p := range svc.GetPorts() {
			if port.HasHostMode(p) {
				continue
			}
			key := port.Of(p)
			if other, taken := published[key]; taken {
				problems = append(problems, fmt.Sprintf("services %s and %s both publish %s", other, svc.GetSpec().GetName(), key))
			}
			published[key] = svc.GetSpec().GetName()
		}
	}
	return problems
}

// onward returns how a task went back.
func onward(old, t *clusterpb.Task) (problems []string) {
	from, to := old.GetStatus().GetState(), t.GetStatus().GetState()
	if to < from || lifecycle.Ended(from) && to != from {
		problems = append(problems, fmt.Sprintf("task %s was %s and became %s", t.GetId(), lifecycle.Name(from), lifecycle.Name(to)))
	}
	if t.GetDesired() < old.GetDesired() {
		problems = append(problems, fmt.Sprintf("task %s should have been %s and then %s", t.GetId(), lifecycle.Name(old.GetDesired()), lifecycle.Name(t.GetDesired())))
	}
	if old.GetNodeId() != "" && t.GetNodeId() != old.GetNodeId() {
		problems = append(problems, fmt.Sprintf("task %s moved from %s to %q", t.GetId(), old.GetNodeId(), t.GetNodeId()))
	}
	return problems
}

// alone reports whether t must be the only task that is to run in its slot:
// its service exists and starts none before it stops another.
func (c *checker) alone(t *clusterpb.Task) bool {
	svc, ok := c.before.Service(t.GetServiceId())
	if !ok || !lifecycle.Wanted(t) || t.GetCanary() {
		return false
	}
	update, rollback := svc.GetSpec().GetUpdate(), svc.GetSpec().GetRollback()
	if startFirst(update) || startFirst(rollback) {
		return false
	}
	return update.GetOrder() == clusterpb.UpdateConfig_ORDER_STOP_FIRST || !c.drained[t.GetNodeId()]
}

func startFirst(u *clusterpb.UpdateConfig) bool {
	return u.GetOrder() == clusterpb.UpdateConfig_ORDER_START_FIRST || u.GetCanary() > 0
}
