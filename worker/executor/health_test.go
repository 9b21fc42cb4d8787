package executor

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

func TestMergeHealth(t *testing.T) {
	defaults := func(h *clusterpb.HealthCheck) *clusterpb.HealthCheck {
		h.Interval = durationpb.New(30 * time.Second)
		h.Timeout = durationpb.New(30 * time.Second)
		h.StartPeriod = durationpb.New(0)
		h.StartInterval = durationpb.New(5 * time.Second)
		h.Retries = 3
		return h
	}
	image := &clusterpb.HealthCheck{Test: []string{"CMD", "probe"}, Interval: durationpb.New(time.Second), Retries: 7}
	inherited := func(h *clusterpb.HealthCheck) *clusterpb.HealthCheck {
		h = defaults(h)
		h.Interval, h.Retries = durationpb.New(time.Second), 7
		return h
	}
	tests := map[string]struct {
		spec, image, want *clusterpb.HealthCheck
	}{
		"none anywhere": {nil, nil, nil},
		"timing alone":  {&clusterpb.HealthCheck{Retries: 2}, nil, nil},
		"image only":    {nil, image, inherited(&clusterpb.HealthCheck{Test: []string{"CMD", "probe"}})},
		"image in no time": {
			nil, &clusterpb.HealthCheck{
				Test: []string{"CMD", "probe"}, Interval: durationpb.New(1), Timeout: durationpb.New(999 * time.Microsecond),
				StartPeriod: durationpb.New(-1), StartInterval: durationpb.New(1),
			},
			defaults(&clusterpb.HealthCheck{Test: []string{"CMD", "probe"}}),
		},
		"spec turns it off":      {&clusterpb.HealthCheck{Test: []string{"NONE"}}, image, nil},
		"image turns it off":     {nil, &clusterpb.HealthCheck{Test: []string{"NONE"}}, nil},
		"spec test":              {&clusterpb.HealthCheck{Test: []string{"CMD-SHELL", "true"}}, nil, defaults(&clusterpb.HealthCheck{Test: []string{"CMD-SHELL", "true"}})},
		"spec tcp, image timing": {&clusterpb.HealthCheck{Tcp: 80}, image, inherited(&clusterpb.HealthCheck{Tcp: 80})},
		"spec http":              {&clusterpb.HealthCheck{Http: "80/live"}, nil, defaults(&clusterpb.HealthCheck{Http: "80/live"})},
		"spec timing over image": {
			&clusterpb.HealthCheck{Interval: durationpb.New(2 * time.Second), Retries: 1}, image,
			func() *clusterpb.HealthCheck {
				h := defaults(&clusterpb.HealthCheck{Test: []string{"CMD", "probe"}})
				h.Interval, h.Retries = durationpb.New(2*time.Second), 1
				return h
			}(),
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, MergeHealth(tt.spec, tt.image), protocmp.Transform()); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}
