package containerd

import (
	"context"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/muster/muster/worker/executor"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/pod"
)

// HealthCheck implements executor.Prober.
func (x *Executor) HealthCheck(ctx context.Context, t *clusterpb.Task) (*clusterpb.HealthCheck, error) {
	img, err := x.ensureImage(ctx, executor.Request{Task: t}, func(string) {})
	if err != nil {
		return nil, err
	}
	return executor.MergeHealth(pod.Main(t.GetSpec()).GetHealth(), imageHealth(img.Config.Healthcheck)), nil
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
