package soak

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/muster/muster/integration/load"
	"github.com/muster/muster/integration/nodes"
	"github.com/muster/muster/integration/nodes/fleet"
	"github.com/muster/muster/integration/pack"
)

const (
	members  = 5
	managers = 3
	// whole bounds how long it takes until a cluster that was harmed is whole.
	whole = 2 * time.Minute
	port  = 8111
)

// soak is a cluster on trial.
type soak struct {
	*fleet.Fleet
	t     *testing.T
	rand  *rand.Rand
	spare *nodes.Node
	// bare is what each node holds without a service.
	bare map[*nodes.Node]nodes.Inventory
	// replicas is how many tasks the service should have.
	replicas int
	version  int
	writes   []*writer
	memory   memory
}

// TestSoak lasts MUSTER_SOAK, by default 5 minutes, and repeats the random
// choices of an earlier run by its MUSTER_SEED.
// MUSTER_HARM is a regular expression that limits it to actions of such names.
func TestSoak(t *testing.T) {
	length, err := time.ParseDuration(cmp.Or(os.Getenv("MUSTER_SOAK"), "5m"))
	if err != nil {
		t.Fatalf("MUSTER_SOAK: %v", err)
	}
	seed, err := strconv.ParseUint(cmp.Or(os.Getenv("MUSTER_SEED"), strconv.FormatInt(time.Now().UnixNano(), 10)), 10, 64)
	if err != nil {
		t.Fatalf("MUSTER_SEED: %v", err)
	}
	harm, err := regexp.Compile(os.Getenv("MUSTER_HARM"))
	if err != nil {
		t.Fatalf("MUSTER_HARM: %v", err)
	}
	t.Logf("to repeat it: MUSTER_SEED=%d MUSTER_SOAK=%s", seed, length)
	s := start(t, rand.New(rand.NewPCG(seed, 0)))
	s.serve()
	var left []action
	for end := time.Now().Add(length); time.Now().Before(end) && !t.Failed(); {
		if len(left) == 0 { // each kind comes before one comes again
			left = slices.DeleteFunc(actions(), func(a action) bool { return !harm.MatchString(a.name) })
			if len(left) == 0 {
				t.Fatalf("MUSTER_HARM: no action is called like %q", harm)
			}
			s.rand.Shuffle(len(left), func(i, j int) { left[i], left[j] = left[j], left[i] })
		}
		s.try(left[0])
		left = left[1:]
	}
	s.leaveNothing()
	s.memory.flat(t, length)
}

// start makes the cluster. Each node has a disk of its own, which can stand still or be filled.
func start(t *testing.T, random *rand.Rand) *soak {
	t.Helper()
	f := fleet.Make(nodes.Build(t, nodes.Config{Nodes: members, Spare: 1, Clients: 2, Disk: 1 << 30}), t, managers)
	f.Load(pack.Nginx("nginx:latest"), f.Nodes[0])
	f.Load(pack.Busybox("busybox:latest"), f.Nodes[0])
	s := &soak{Fleet: f, t: t, rand: random, bare: make(map[*nodes.Node]nodes.Inventory), replicas: 6, spare: f.Spare[0]}
	for _, n := range f.Nodes {
		s.bare[n] = n.Inventory()
	}
	return s
}

// serve makes the service that is requested, and the one that is written to.
func (s *soak) serve() {
	first := s.Nodes[0]
	first.MustMuster("service", "create", "-q", "--replicas", strconv.Itoa(s.replicas), "--name", "web", "-p", fmt.Sprintf("%d:80", port),
		"--health-http", "80", "--health-start-interval", "200ms", "--health-start-period", "10s",
		"--restart-delay", "0s", "--update-monitor", "0s", "--drain-timeout", "2s", "nginx:latest")
	first.MustMuster("service", "create", "-q", "--name", "ledger", "--stop-grace-period", "1s", "--restart-delay", "0s", "busybox:latest", "sleep", "1000000")
	for i := range 2 {
		s.writes = append(s.writes, &writer{key: fmt.Sprintf("writer%d", i)})
	}
	s.whole()
}

// try takes an action under load and waits until the cluster is whole.
func (s *soak) try(a action) {
	s.t.Helper()
	n := s.Nodes[s.rand.IntN(len(s.Nodes))]
	if a.on != nil {
		n = a.on(s)
	}
	began := time.Now()
	stop := s.write(n)
	var traffic *fleet.Traffic
	if a.planned {
		gently := load.Config{Clients: 2, Pause: time.Millisecond}
		traffic = s.Request(s.Nodes, fmt.Sprintf(":%d/quiet", port), gently, gently)
	}
	a.do(s, n)
	did := time.Since(began)
	s.whole()
	stop()
	if traffic != nil {
		traffic.None()
	}
	s.kept()
	s.t.Logf("%s %s: %s, whole after %s; %s", a.name, n.Name, did.Round(10*time.Millisecond), time.Since(began).Round(10*time.Millisecond), s.written())
	s.memory.sample(s.t, s.Nodes)
}

// leaveNothing removes the services and looks for what is left of them.
func (s *soak) leaveNothing() {
	s.t.Helper()
	s.Nodes[0].MustMuster("service", "rm", "web", "ledger")
	for _, n := range s.Nodes {
		s.Eventually("nothing of the services on "+n.Name, whole, func() error {
			if left := n.Inventory().Minus(s.bare[n]).OfTasks(); len(left) > 0 { // the rest tells of nodes that are new
				return fmt.Errorf("still there:\n%s", left)
			}
			return nil
		})
	}
}
