package containerd

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/muster/muster/worker/executor"
	"github.com/muster/muster/worker/images"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/pod"
)

// checkExtension is where a container keeps its check. A task that runs must
// not depend on its image's record, which others may take away or replace.
const checkExtension = "io.muster.health"

// rememberedCheck is the check of a task, for its container to keep; empty when
// there is none.
func rememberedCheck(t *clusterpb.Task, img *images.Image) (*anypb.Any, error) {
	check := executor.MergeHealth(pod.Main(t.GetSpec()).GetHealth(), imageHealth(img.Config.Healthcheck))
	if check == nil {
		check = &clusterpb.HealthCheck{}
	}
	kept, err := anypb.New(check)
	if err != nil {
		return nil, fmt.Errorf("encode health check: %w", err)
	}
	return kept, nil
}

// HealthCheck implements executor.Prober. It reads what the container keeps.
func (x *Executor) HealthCheck(ctx context.Context, t *clusterpb.Task) (*clusterpb.HealthCheck, error) {
	c, err := x.containers().Get(x.inNamespace(ctx), t.GetId())
	if err != nil {
		return nil, fmt.Errorf("find the health check: %w", native(err))
	}
	check := &clusterpb.HealthCheck{}
	kept := c.Extensions[checkExtension]
	if kept == nil {
		return nil, fmt.Errorf("container %s keeps no health check: it was made by an earlier build: %w", t.GetId(), errdefs.ErrFailedPrecondition)
	}
	if err := proto.Unmarshal(kept.GetValue(), check); err != nil {
		return nil, fmt.Errorf("read the health check of container %s: %w", t.GetId(), err)
	}
	if proto.Size(check) == 0 {
		return nil, nil //nolint:nilnil // documented: there is none
	}
	return check, nil
}

// imageHealth is the check that an image brings.
func imageHealth(h *dockerspec.HealthcheckConfig) *clusterpb.HealthCheck {
	if h == nil {
		return nil
	}
	return &clusterpb.HealthCheck{
		Test:          h.Test,
		Interval:      durationpb.New(h.Interval),
		Timeout:       durationpb.New(h.Timeout),
		StartPeriod:   durationpb.New(h.StartPeriod),
		StartInterval: durationpb.New(h.StartInterval),
		Retries:       uint32(max(0, h.Retries)),
	}
}
