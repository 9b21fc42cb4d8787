package spec_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/types/known/durationpb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/pod"
	"github.com/muster/muster/proto/spec"
)

// TestLongDurations: no duration is so long that what is reckoned with it overflows.
func TestLongDurations(t *testing.T) {
	const decade = 87600 * time.Hour
	fields := map[string]func(s *clusterpb.ServiceSpec, d *durationpb.Duration){
		"restart delay":     func(s *clusterpb.ServiceSpec, d *durationpb.Duration) { s.Task.Restart.Delay = d },
		"restart max delay": func(s *clusterpb.ServiceSpec, d *durationpb.Duration) { s.Task.Restart.MaxDelay = d },
		"restart window":    func(s *clusterpb.ServiceSpec, d *durationpb.Duration) { s.Task.Restart.Window = d },
		"update delay":      func(s *clusterpb.ServiceSpec, d *durationpb.Duration) { s.Update.Delay = d },
		"update monitor":    func(s *clusterpb.ServiceSpec, d *durationpb.Duration) { s.Update.Monitor = d },
		"rollback monitor":  func(s *clusterpb.ServiceSpec, d *durationpb.Duration) { s.Rollback.Monitor = d },
		"update progress deadline": func(s *clusterpb.ServiceSpec, d *durationpb.Duration) {
			s.Update.ProgressDeadline = d
		},
		"health interval":     func(s *clusterpb.ServiceSpec, d *durationpb.Duration) { pod.Main(s.Task).Health.Interval = d },
		"health timeout":      func(s *clusterpb.ServiceSpec, d *durationpb.Duration) { pod.Main(s.Task).Health.Timeout = d },
		"health start period": func(s *clusterpb.ServiceSpec, d *durationpb.Duration) { pod.Main(s.Task).Health.StartPeriod = d },
	}
	for name, set := range fields {
		s := &clusterpb.ServiceSpec{
			Name: "web", Mode: &clusterpb.ServiceSpec_Replicated{Replicated: &clusterpb.ReplicatedMode{Replicas: 1}},
			Task: &clusterpb.TaskSpec{
				Containers: []*clusterpb.ContainerSpec{{Image: "nginx", Health: &clusterpb.HealthCheck{Tcp: 80}}},
				Restart:    &clusterpb.RestartPolicy{},
			},
			Update: &clusterpb.UpdateConfig{}, Rollback: &clusterpb.UpdateConfig{},
		}
		set(s, durationpb.New(decade))
		if err := spec.ValidateService(s); err != nil {
			t.Errorf("%s of ten years: %v", name, err)
		}
		for _, d := range []*durationpb.Duration{durationpb.New(decade + 1), durationpb.New(math.MaxInt64), durationpb.New(-1)} {
			set(s, d)
			err := spec.ValidateService(s)
			if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), " to 87600h") {
				t.Errorf("%s %s: %v", name, d.AsDuration(), err)
			}
		}
	}
}

func TestTimes(t *testing.T) {
	tests := []struct {
		d    time.Duration
		n    uint32
		want time.Duration
	}{
		{time.Second, 0, 0},
		{0, 9, 0},
		{time.Second, 3, 3 * time.Second},
		{math.MaxInt64, 1, math.MaxInt64},
		{math.MaxInt64, 2, math.MaxInt64},
		{time.Hour, math.MaxUint32, math.MaxInt64},
	}
	for _, tt := range tests {
		if got := spec.Times(tt.d, tt.n); got != tt.want {
			t.Errorf("%s %d times is %s, want %s", tt.d, tt.n, got, tt.want)
		}
	}
}
