package service_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/pod"
)

// TestMonitorWarnings: who watches a rollout for less than its health check
// needs is told, when the service is made and when it is changed.
func TestMonitorWarnings(t *testing.T) {
	seconds := func(n int) *durationpb.Duration { return durationpb.New(time.Duration(n) * time.Second) }
	long := &clusterpb.UpdateConfig{Monitor: seconds(90)}
	tests := map[string]struct {
		health           *clusterpb.HealthCheck
		update, rollback *clusterpb.UpdateConfig
		want             []string
	}{
		"no check":    {nil, nil, nil, nil},
		"none":        {&clusterpb.HealthCheck{Test: []string{"NONE"}}, nil, nil, nil},
		"long enough": {&clusterpb.HealthCheck{Tcp: 80}, long, long, nil},
		"just enough": {&clusterpb.HealthCheck{Tcp: 80, Interval: seconds(5), Retries: 1}, nil, nil, nil},
		"defaults": {&clusterpb.HealthCheck{Http: "80"}, nil, long, []string{
			"the update monitor period of 5s is shorter than the 1m30s that the health check needs",
		}},
		"longer than can be told": {&clusterpb.HealthCheck{Tcp: 80, Interval: seconds(315_360_000), Retries: 1 << 31}, long, long, []string{
			"is shorter than the 2562047h47m16.854775807s that the health check needs", "(--rollback-monitor)",
		}},
		"overflows to what is shorter": {&clusterpb.HealthCheck{Tcp: 80, Interval: seconds(1 << 28), Retries: 1 << 31}, long, long, []string{
			"(--update-monitor)", "(--rollback-monitor)",
		}},
		"rollback too": {&clusterpb.HealthCheck{Tcp: 80, Interval: seconds(3), Retries: 2}, nil, nil, []string{
			"(--health-interval 3s, --health-retries 2)", "(--rollback-monitor)",
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s, db := newStore(t, web()), web()
			db.Name, db.Update, db.Rollback = "db", tt.update, tt.rollback
			pod.Main(db.GetTask()).Health = tt.health
			made, err := serve(s).CreateService(t.Context(), &controlpb.CreateServiceRequest{Spec: db, Resolve: controlpb.ResolveImages_RESOLVE_IMAGES_NEVER})
			if err != nil {
				t.Fatal(err)
			}
			changed, err := serve(s).UpdateService(t.Context(), &controlpb.UpdateServiceRequest{
				Service: "db", Spec: db, Resolve: controlpb.ResolveImages_RESOLVE_IMAGES_NEVER,
			})
			if err != nil || !slices.Equal(made.GetWarnings(), changed.GetWarnings()) || len(made.GetWarnings()) != len(tt.want) {
				t.Fatalf("created %q, updated %q, %v", made.GetWarnings(), changed.GetWarnings(), err)
			}
			for i, want := range tt.want {
				if !strings.Contains(made.GetWarnings()[i], want) {
					t.Errorf("warning %q, want %q", made.GetWarnings()[i], want)
				}
			}
		})
	}
}
