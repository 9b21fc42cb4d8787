package integration_test

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/muster/muster/integration/cluster"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/pod"
)

// declare writes a spec as one who keeps it in a file does: without looking at
// what the cluster made of it.
func declare(ctx context.Context, t *testing.T, c *cluster.Cluster, s *clusterpb.ServiceSpec, which controlpb.ResolveImages) {
	t.Helper()
	_, err := services(c.Control()).UpdateService(ctx, &controlpb.UpdateServiceRequest{Service: s.GetName(), Spec: s, Resolve: which})
	if err != nil {
		t.Fatal(err)
	}
}

// TestSpecIsReadAsItWasWritten: whatever the cluster finds out or chooses for a
// spec stands beside it, so that a declared file compares equal.
func TestSpecIsReadAsItWasWritten(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 1, Workers: 2}, func(ctx context.Context, c *cluster.Cluster) {
		c.Registry.MoveTag("v1", "v1@1")
		c.Registry.MoveTag("v2", "v2@1")
		written := cluster.Spec("web", 2, func(s *clusterpb.ServiceSpec) {
			s.Ports = []*clusterpb.Port{{Target: 80, Protocol: clusterpb.Port_PROTOCOL_TCP, Mode: clusterpb.Port_MODE_INGRESS}}
			pod.Main(s.Task).RegistryAuth = "bG9naW4="
		})
		same := func(after string) {
			t.Helper()
			want := proto.CloneOf(written)
			pod.Main(want.Task).RegistryAuth = "" // shown to nobody
			r, err := services(c.Control()).GetService(ctx, &controlpb.GetServiceRequest{Service: "web"})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, r.GetService().GetSpec(), protocmp.Transform()); diff != "" {
				t.Errorf("after %s the spec differs (-written +read):\n%s", after, diff)
			}
		}
		if _, err := services(c.Control()).CreateService(ctx, &controlpb.CreateServiceRequest{Spec: written}); err != nil {
			t.Fatal(err)
		}
		same("create")
		c.Eventually("the service to run", func() bool { return len(c.Serving("web")) == 2 })
		same("start")

		restarts := map[string]func() error{
			"restart": func() error {
				_, err := services(c.Control()).ControlRollout(ctx, &controlpb.ControlRolloutRequest{
					Service: "web", Action: controlpb.ControlRolloutRequest_ACTION_RESTART,
				})
				return err
			},
			"forced update": func() error {
				_, err := services(c.Control()).UpdateService(ctx, &controlpb.UpdateServiceRequest{Service: "web", Spec: written, Force: true})
				return err
			},
		}
		for how, restart := range restarts {
			old := c.Serving("web")
			if err := restart(); err != nil {
				t.Fatal(err)
			}
			c.Eventually("others to run after the "+how, func() bool {
				return len(c.Serving("web")) == 2 && !slices.ContainsFunc(c.Serving("web"), func(task *clusterpb.Task) bool {
					return slices.ContainsFunc(old, func(o *clusterpb.Task) bool { return o.GetId() == task.GetId() })
				})
			})
			same(how)
		}

		first := proto.CloneOf(written)
		pod.Main(written.Task).Image, written.Labels = "v2", map[string]string{"a": "b"}
		declare(ctx, t, c, written, controlpb.ResolveImages_RESOLVE_IMAGES_ALWAYS)
		same("update")
		c.Eventually("the update to complete", func() bool {
			return c.Service("web").GetUpdate().GetState() == clusterpb.UpdateStatus_STATE_COMPLETED
		})
		same("rollout")

		if _, err := services(c.Control()).RollbackService(ctx, &controlpb.RollbackServiceRequest{Service: "web"}); err != nil {
			t.Fatal(err)
		}
		written = first
		same("rollback")

		written.Mode = &clusterpb.ServiceSpec_Replicated{Replicated: &clusterpb.ReplicatedMode{Replicas: 3}}
		if _, err := services(c.Control()).ScaleService(ctx, &controlpb.ScaleServiceRequest{Service: "web", Replicas: 3}); err != nil {
			t.Fatal(err)
		}
		same("scale")
	})
}

// TestMovedTag has a tag that stands for other content while a service runs.
func TestMovedTag(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 1, Workers: 2}, func(ctx context.Context, c *cluster.Cluster) {
		c.Registry.MoveTag("v1", "v1@old")
		written := cluster.Spec("web", 2)
		c.CreateService("web", 2)
		run := func(pinned string, replicas int) {
			t.Helper()
			c.Eventually("all tasks to run "+pinned, func() bool {
				serving := c.Serving("web")
				for _, task := range serving {
					if pod.Image(task.GetSpec(), task.GetImages()) != pinned {
						return false
					}
				}
				return len(serving) == replicas
			})
		}
		run("v1@old", 2)
		made := c.Service("web").GetSpecVersion()

		c.Registry.MoveTag("v1", "v1@new")
		written.Labels = map[string]string{"a": "b"}
		declare(ctx, t, c, written, controlpb.ResolveImages_RESOLVE_IMAGES_CHANGED)
		declare(ctx, t, c, written, controlpb.ResolveImages_RESOLVE_IMAGES_NEVER)
		if _, err := services(c.Control()).ScaleService(ctx, &controlpb.ScaleServiceRequest{Service: "web", Replicas: 3}); err != nil {
			t.Fatal(err)
		}
		run("v1@old", 3) // the third starts as the others did
		if got := c.Service("web").GetSpecVersion(); got != made {
			t.Errorf("spec version %d, want %d: nobody asked for the tag", got, made)
		}

		written.Mode = &clusterpb.ServiceSpec_Replicated{Replicated: &clusterpb.ReplicatedMode{Replicas: 3}}
		declare(ctx, t, c, written, controlpb.ResolveImages_RESOLVE_IMAGES_ALWAYS)
		run("v1@new", 3)

		if _, err := services(c.Control()).RollbackService(ctx, &controlpb.RollbackServiceRequest{Service: "web"}); err != nil {
			t.Fatal(err)
		}
		run("v1@old", 3)
	})
}
