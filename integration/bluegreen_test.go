package integration_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/network"
	"github.com/muster/muster/proto/pod"
)

// colours watches which images the mesh of each node leads to.
type colours struct {
	mu sync.Mutex
	// seen are the images a node led to, one entry for each change: "v1", "v2",
	// "v1+v2", or "" when it led nowhere.
	seen map[string][]string
}

// watchColours looks twice as often as any kernel changes, so that it misses
// nothing, until stop is called.
func watchColours(r *rollout) (c *colours, stop func()) {
	c = &colours{seen: make(map[string][]string)}
	ctx, cancel := context.WithCancel(r.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			c.look(r)
			time.Sleep(500 * time.Microsecond)
		}
	}()
	return c, func() {
		cancel()
		<-done
	}
}

func (c *colours) look(r *rollout) {
	c.mu.Lock()
	defer c.mu.Unlock()
	tasks := r.Tasks("web")
	for _, n := range r.Nodes {
		if !r.Up(n) {
			continue
		}
		var images []string
		for _, t := range tasks {
			image := pod.Main(t.GetSpec()).GetImage()
			if len(network.Answering(t.GetAttachments())) > 0 && !slices.Contains(images, image) && n.Kernel.LeadsTo(netip.MustParseAddr(network.Answering(t.GetAttachments())[0])) {
				images = append(images, image)
			}
		}
		slices.Sort(images)
		now, before := strings.Join(images, "+"), c.seen[n.Name]
		if len(before) == 0 || before[len(before)-1] != now {
			c.seen[n.Name] = append(before, now)
		}
	}
}

// expect compares what the meshes led to, one after the other.
func (c *colours) expect(r *rollout, want ...string) {
	r.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.seen) != len(r.Nodes) {
		r.t.Errorf("%d of %d nodes were looked at", len(c.seen), len(r.Nodes))
	}
	for node, got := range c.seen {
		if !slices.Equal(got, want) {
			r.t.Errorf("the mesh of %s led to %q, want %q", node, got, want)
		}
	}
}

// expectOneColour fails the test if any state since the start leads to two
// images, or to none: kernels are too slow to show what lasts for an entry.
func (r *rollout) expectOneColour() {
	r.t.Helper()
	for s := range r.History() {
		if s.Index < r.started {
			continue
		}
		images := make(map[string]int)
		for t := range s.Tasks() {
			if lifecycle.Serving(t) && !t.GetCanary() {
				images[pod.Main(t.GetSpec()).GetImage()]++
			}
		}
		if len(images) != 1 {
			r.t.Errorf("state %d leads to %v", s.Index, images)
		}
	}
}

// blueGreen runs f with four replicas that are updated by as many canaries, on
// nodes whose kernels take up to a second to change. No state may lead to both
// old and new tasks.
func blueGreen(t *testing.T, promote clusterpb.UpdateConfig_Promote, f func(r *rollout, c *colours)) {
	t.Helper()
	cfg := &clusterpb.UpdateConfig{Canary: 4, Promote: promote, Monitor: seconds(2), ProgressDeadline: seconds(30)}
	roll(t, 4, cfg, func(r *rollout) {
		delay := time.Millisecond
		for _, n := range r.Nodes {
			n.Kernel.SetDelay(delay)
			delay *= 4 // up to 1 s
		}
		c, stop := watchColours(r)
		defer stop()
		f(r, c)
		r.expectOneColour()
	}, published(8111))
}

// TestBlueGreen moves all traffic in one step, on every node.
func TestBlueGreen(t *testing.T) {
	t.Run("promoted by the user", func(t *testing.T) {
		blueGreen(t, clusterpb.UpdateConfig_PROMOTE_MANUAL, func(r *rollout, c *colours) {
			r.update()
			r.reach(atCanary)
			time.Sleep(time.Minute)
			if got := fmt.Sprint(r.images()); got != "map[v1:4 v2:4]" {
				t.Errorf("before the promotion %s run", got)
			}
			c.expect(r, "v1")
			r.control(controlpb.ControlRolloutRequest_ACTION_PROMOTE)
			r.reach(completed)
			r.serve(map[string]int{"v2": 4})
			c.expect(r, "v1", "v2")
			if got := r.least(); got < 4 {
				t.Errorf("only %d slots served at a time", got)
			}
		})
	})
	t.Run("promoted by itself", func(t *testing.T) {
		blueGreen(t, clusterpb.UpdateConfig_PROMOTE_AUTO, func(r *rollout, c *colours) {
			r.update()
			r.reach(completed)
			r.serve(map[string]int{"v2": 4})
			c.expect(r, "v1", "v2")
		})
	})
	t.Run("scaled while it waits", func(t *testing.T) {
		blueGreen(t, clusterpb.UpdateConfig_PROMOTE_MANUAL, func(r *rollout, c *colours) {
			r.update()
			r.reach(atCanary)
			scale(r.ctx, t, r.Cluster, "web", 6)
			r.Eventually("canaries of all six", func() bool { return r.images()["v2"] == 6 && r.state() == atCanary })
			r.control(controlpb.ControlRolloutRequest_ACTION_PROMOTE)
			r.reach(completed)
			r.serve(map[string]int{"v2": 6})
			c.expect(r, "v1", "v2")
		})
	})
	t.Run("overtaken", func(t *testing.T) {
		blueGreen(t, clusterpb.UpdateConfig_PROMOTE_MANUAL, func(r *rollout, c *colours) {
			r.Script("v3", slow())
			r.update()
			r.reach(atCanary)
			r.UpdateService("web", func(s *clusterpb.ServiceSpec) { pod.Main(s.Task).Image = "v3" })
			r.Eventually("the next canaries", func() bool { return r.images()["v3"] == 4 && r.state() == atCanary })
			r.control(controlpb.ControlRolloutRequest_ACTION_PROMOTE)
			r.reach(completed)
			r.serve(map[string]int{"v3": 4})
			c.expect(r, "v1", "v3")
		})
	})
}

// TestBlueGreenThatFails never moves any traffic.
func TestBlueGreenThatFails(t *testing.T) {
	late := slow()
	late.ExitAfter, late.Exit = 5*time.Minute, exit(1)
	for name, b := range map[string]func(r *rollout){
		"crashes":                func(r *rollout) { r.Script("v2", crashes()) },
		"never healthy":          func(r *rollout) { r.Script("v2", neverHealthy()) },
		"never ready":            func(r *rollout) { r.Script("v2", neverReady()) },
		"fails while it waits":   func(r *rollout) { r.Script("v2", late) },
		"one node cannot run it": func(r *rollout) { r.Nodes["w1"].Runtime.Script("v2", crashes()) },
	} {
		t.Run(name, func(t *testing.T) {
			blueGreen(t, clusterpb.UpdateConfig_PROMOTE_MANUAL, func(r *rollout, c *colours) {
				b(r)
				before := ids(r.Serving("web"))
				r.update()
				r.reach(rollbackCompleted)
				r.serve(map[string]int{"v1": 4})
				if !contains(ids(r.Serving("web")), before...) {
					t.Error("old tasks were replaced")
				}
				c.expect(r, "v1")
			})
		})
	}
}

// TestBlueGreenSurvivesKillingTheLeader around the step itself.
func TestBlueGreenSurvivesKillingTheLeader(t *testing.T) {
	for _, seed := range seeds(t, 3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			blueGreen(t, clusterpb.UpdateConfig_PROMOTE_AUTO, func(r *rollout, c *colours) {
				r.update()
				random := random(seed, 1)
				for range 4 {
					leader := r.Leader()
					r.CrashAtEntry(leader, random.Uint64N(25)+1, 3*time.Second)
					time.Sleep(time.Second)
					r.Restart(leader)
				}
				r.reach(completed)
				r.serve(map[string]int{"v2": 4})
				c.expect(r, "v1", "v2")
			})
		})
	}
}

// TestCanariesShareTheTraffic when they are not all replicas.
func TestCanariesShareTheTraffic(t *testing.T) {
	cfg := &clusterpb.UpdateConfig{Canary: 1, Monitor: seconds(2), Parallelism: proto.Uint32(0)}
	roll(t, 4, cfg, func(r *rollout) {
		c, stop := watchColours(r)
		defer stop()
		r.update()
		r.reach(atCanary)
		time.Sleep(time.Minute)
		c.expect(r, "v1", "v1+v2")
	}, published(8111))
}
