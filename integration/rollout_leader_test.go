package integration_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// kills is how often the leader dies in the middle of a rollout.
const kills = 10

// killLeaders kills the leader at ten random points until the rollout is in
// one of its last states: half of them when an entry was just written, which
// is when others do not know of it yet.
func (r *rollout) killLeaders(random *rand.Rand, end clusterpb.UpdateStatus_State) {
	r.t.Helper()
	for i := range kills {
		leader := r.Leader()
		pause := time.Duration(random.Int64N(int64(1500 * time.Millisecond)))
		if i%2 == 0 {
			r.CrashAtEntry(leader, random.Uint64N(20)+1, pause+time.Second)
		} else {
			time.Sleep(pause)
			r.Crash(leader)
		}
		if r.state() == end && i < kills/2 {
			r.t.Errorf("the rollout was over after %d kills: this test proves little", i)
		}
		time.Sleep(time.Duration(random.Int64N(int64(2 * time.Second))))
		r.Restart(leader)
	}
}

// TestUpdateSurvivesKillingTheLeader at ten points each, which the seed in the
// name of a subtest tells.
func TestUpdateSurvivesKillingTheLeader(t *testing.T) {
	tests := map[string]struct {
		cfg *clusterpb.UpdateConfig
		// least is how many of twelve slots serve all the time.
		least int
	}{
		"stop-first": {&clusterpb.UpdateConfig{
			Order: clusterpb.UpdateConfig_ORDER_STOP_FIRST, Parallelism: proto.Uint32(2), Monitor: seconds(1),
		}, 10},
		"start-first": {&clusterpb.UpdateConfig{
			Order: clusterpb.UpdateConfig_ORDER_START_FIRST, Parallelism: proto.Uint32(2), Monitor: seconds(1),
		}, 12},
	}
	for name, tt := range tests {
		for _, seed := range seeds(t, 3) {
			t.Run(fmt.Sprintf("%s, seed %d", name, seed), func(t *testing.T) {
				roll(t, 12, tt.cfg, func(r *rollout) {
					r.update()
					r.killLeaders(random(seed, 1), completed)
					r.reach(completed)
					r.serve(map[string]int{"v2": 12})
					if diff := cmp.Diff(once(12), r.v2()); diff != "" {
						t.Errorf("new tasks by slot, which without kills is one (-want +got):\n%s", diff)
					}
					if got := r.least(); got < tt.least {
						t.Errorf("only %d slots served at a time, want %d", got, tt.least)
					}
				})
			})
		}
	}
}

// TestRollbackSurvivesKillingTheLeader: the update fails in its third slot.
func TestRollbackSurvivesKillingTheLeader(t *testing.T) {
	for _, seed := range seeds(t, 3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			cfg := &clusterpb.UpdateConfig{
				FailureAction: clusterpb.UpdateConfig_FAILURE_ACTION_ROLLBACK,
				Order:         clusterpb.UpdateConfig_ORDER_STOP_FIRST, Monitor: seconds(2),
			}
			roll(t, 8, cfg, func(r *rollout) {
				r.update()
				r.Eventually("five slots", func() bool { return r.images()["v2"] == 5 })
				bad := slow()
				bad.ExitAfter, bad.Exit = time.Second, exit(1)
				r.Script("v2", bad)
				r.killLeaders(random(seed, 1), rollbackCompleted)
				r.reach(rollbackCompleted)
				r.serve(map[string]int{"v1": 8})
				if got := r.least(); got < 6 { // one slot of each direction
					t.Errorf("only %d slots served at a time, want 6", got)
				}
				if v2 := r.v2(); len(v2) > 7 {
					t.Errorf("%d slots got a new task although the sixth failed: %v", len(v2), v2)
				}
			})
		})
	}
}

// TestCanarySurvivesKillingTheLeader from the canary to the end.
func TestCanarySurvivesKillingTheLeader(t *testing.T) {
	for _, seed := range seeds(t, 3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			cfg := &clusterpb.UpdateConfig{Canary: 3, Promote: clusterpb.UpdateConfig_PROMOTE_AUTO, Monitor: seconds(2)}
			roll(t, 8, cfg, func(r *rollout) {
				r.update()
				r.killLeaders(random(seed, 1), completed)
				r.reach(completed)
				r.serve(map[string]int{"v2": 8})
				if diff := cmp.Diff(once(8), r.v2()); diff != "" {
					t.Errorf("new tasks by slot (-want +got):\n%s", diff)
				}
				if got := r.least(); got < 7 {
					t.Errorf("only %d slots served at a time, want 7", got)
				}
			})
		})
	}
}
