package spec

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/pod"
)

func TestSameTask(t *testing.T) {
	const a, b = "sha256:1111111111111111111111111111111111111111111111111111111111111111", "sha256:2222222222222222222222222222222222222222222222222222222222222222"
	restart := func(r *clusterpb.RestartPolicy) func(*clusterpb.TaskSpec) {
		return func(s *clusterpb.TaskSpec) { s.Restart = r }
	}
	main := func(f func(*clusterpb.ContainerSpec)) func(*clusterpb.TaskSpec) {
		return func(s *clusterpb.TaskSpec) { f(pod.Main(s)) }
	}
	limits := func(names ...string) func(*clusterpb.TaskSpec) {
		return main(func(c *clusterpb.ContainerSpec) {
			for _, n := range names {
				c.Ulimits = append(c.Ulimits, &clusterpb.Ulimit{Name: n, Soft: 1, Hard: 2})
			}
		})
	}
	tests := map[string]struct {
		one, other func(*clusterpb.TaskSpec)
		same       bool
	}{
		"nothing":            {nil, nil, true},
		"restart any":        {nil, restart(&clusterpb.RestartPolicy{Condition: clusterpb.RestartPolicy_CONDITION_ANY}), true},
		"restart on failure": {nil, restart(&clusterpb.RestartPolicy{Condition: clusterpb.RestartPolicy_CONDITION_ON_FAILURE}), false},
		"the default delays": {nil, restart(&clusterpb.RestartPolicy{Delay: durationpb.New(5 * time.Second), MaxDelay: durationpb.New(5 * time.Minute), Window: durationpb.New(0)}), true},
		"no delay":           {nil, restart(&clusterpb.RestartPolicy{Delay: durationpb.New(0)}), false},
		"the default grace and drain": {nil, main(func(c *clusterpb.ContainerSpec) {
			c.StopGracePeriod, c.DrainTimeout = durationpb.New(10*time.Second), durationpb.New(10*time.Second)
		}), true},
		"no grace":                   {nil, main(func(c *clusterpb.ContainerSpec) { c.StopGracePeriod = durationpb.New(0) }), false},
		"no init, said and not":      {nil, main(func(c *clusterpb.ContainerSpec) { c.Init = new(bool) }), true},
		"an init":                    {nil, main(func(c *clusterpb.ContainerSpec) { c.Init = new(true) }), false},
		"a signal's names":           {main(func(c *clusterpb.ContainerSpec) { c.StopSignal = "SIGQUIT" }), main(func(c *clusterpb.ContainerSpec) { c.StopSignal = "3" }), true},
		"a signal over the image's":  {nil, main(func(c *clusterpb.ContainerSpec) { c.StopSignal = "SIGTERM" }), false},
		"a user over the image's":    {nil, main(func(c *clusterpb.ContainerSpec) { c.User = "root" }), false},
		"limits in another order":    {limits("nofile", "core"), limits("core", "nofile"), true},
		"another limit":              {limits("nofile"), limits("core"), false},
		"capabilities in any order":  {main(func(c *clusterpb.ContainerSpec) { c.CapAdd = []string{"CAP_A", "CAP_B"} }), main(func(c *clusterpb.ContainerSpec) { c.CapAdd = []string{"CAP_B", "CAP_A", "CAP_A"} }), true},
		"arguments in another order": {main(func(c *clusterpb.ContainerSpec) { c.Args = []string{"a", "b"} }), main(func(c *clusterpb.ContainerSpec) { c.Args = []string{"b", "a"} }), false},
		"an image by its digest":     {main(func(c *clusterpb.ContainerSpec) { c.Image = "web" }), main(func(c *clusterpb.ContainerSpec) { c.Image = "web@" + a }), true},
		"an image by another name":   {main(func(c *clusterpb.ContainerSpec) { c.Image = "web" }), main(func(c *clusterpb.ContainerSpec) { c.Image = "docker.io/library/web:latest" }), true},
		"another image":              {main(func(c *clusterpb.ContainerSpec) { c.Image = "web" }), main(func(c *clusterpb.ContainerSpec) { c.Image = "web@" + b }), false},
		"another placement": {nil, func(s *clusterpb.TaskSpec) {
			s.Placement = &clusterpb.Placement{Constraints: []string{"node.role==worker"}}
		}, false},
	}
	resolved := []*clusterpb.ResolvedImage{
		{Image: "web", Pinned: "web:latest@" + a},
		{Image: "web@" + a, Pinned: "web@" + a},
		{Image: "docker.io/library/web:latest", Pinned: "web:latest@" + a},
		{Image: "web@" + b, Pinned: "web@" + b},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			make := func(change func(*clusterpb.TaskSpec)) *clusterpb.TaskSpec {
				s := &clusterpb.TaskSpec{Containers: []*clusterpb.ContainerSpec{{Image: "web"}}}
				if change != nil {
					change(s)
				}
				return s
			}
			one, other := make(tt.one), make(tt.other)
			if got := SameTask(one, other, resolved, resolved); got != tt.same {
				t.Errorf("the same: %t, want %t", got, tt.same)
			}
			if !SameTask(one, one, resolved, resolved) || !SameTask(other, other, resolved, resolved) {
				t.Error("one is not the same as itself")
			}
			if name == "another placement" && !SameButPlacement(one, other, resolved, resolved) {
				t.Error("more than the placement differs")
			}
		})
	}
	if !SameTask(nil, nil, nil, nil) {
		t.Error("nothing is not the same as nothing")
	}
}

func TestSamePorts(t *testing.T) {
	p, q := published(8081, 80), published(8082, 81)
	for name, tt := range map[string]struct {
		a, b []*clusterpb.Port
		same bool
	}{
		"in another order": {[]*clusterpb.Port{p, q}, []*clusterpb.Port{q, p}, true},
		"one more":         {[]*clusterpb.Port{p}, []*clusterpb.Port{p, q}, false},
		"another":          {[]*clusterpb.Port{p}, []*clusterpb.Port{q}, false},
		"none":             {nil, nil, true},
	} {
		if got := SamePorts(tt.a, tt.b); got != tt.same {
			t.Errorf("%s: %t", name, got)
		}
	}
}
