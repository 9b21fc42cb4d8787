package update_test

import (
	"testing"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// TestResumeTriesGivenUpSlotsAgain: a slot whose task is not to be restarted is
// not over for that when the user lets the rollout go on.
func TestResumeTriesGivenUpSlotsAgain(t *testing.T) {
	for name, policy := range map[string]*clusterpb.RestartPolicy{
		"attempts used up": {MaxAttempts: 1},
		"never restarted":  {Condition: clusterpb.RestartPolicy_CONDITION_NONE},
	} {
		for _, order := range []clusterpb.UpdateConfig_Order{0, startFirst} {
			t.Run(name+", "+order.String(), func(t *testing.T) {
				s := start(t, 2, &clusterpb.UpdateConfig{Order: order}, func(spec *clusterpb.ServiceSpec) { spec.Task.Restart = policy })
				s.failing("bad")
				s.image("bad")
				s.run()
				if got := s.status(); got.GetState() != paused {
					t.Fatalf("the rollout is %v", got)
				}
				s.behave = nil // what was wrong has been mended
				s.steer(s.resume)
				s.run()
				s.expect(completed, "2 bad", "update completed")
			})
		}
	}
}
