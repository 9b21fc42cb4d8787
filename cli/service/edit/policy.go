package edit

import (
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/muster/muster/cli/flags"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// restart defines what happens when a task ends by itself.
func (e *Edits) restart() {
	conditions := flags.OneOf([]string{"none", "on-failure", "any"}, map[string]clusterpb.RestartPolicy_Condition{
		"none":       clusterpb.RestartPolicy_CONDITION_NONE,
		"on-failure": clusterpb.RestartPolicy_CONDITION_ON_FAILURE,
		"any":        clusterpb.RestartPolicy_CONDITION_ANY,
	})
	one(e, "restart-condition", "", "when a task that ended is replaced: none, on-failure or any (default)", conditions,
		func(s *Spec, c clusterpb.RestartPolicy_Condition) { restartOf(s).Condition = c })
	one(e, "restart-delay", "", "wait before the first restart in a row, doubling after it; 5s by default", flags.Duration,
		func(s *Spec, d *durationpb.Duration) { restartOf(s).Delay = d })
	one(e, "restart-max-delay", "", "longest wait between restarts; 5m by default", flags.Duration,
		func(s *Spec, d *durationpb.Duration) { restartOf(s).MaxDelay = d })
	one(e, "restart-max-attempts", "", "restarts of a slot before it is given up; 0 is no limit", flags.Count,
		func(s *Spec, n uint32) { restartOf(s).MaxAttempts = n })
	one(e, "restart-window", "", "time in which attempts are counted; 0 is for ever", flags.Duration,
		func(s *Spec, d *durationpb.Duration) { restartOf(s).Window = d })
}

// placement defines where tasks may run.
func (e *Edits) placement() {
	many(e, "constraint", "", "run only on nodes where KEY==VALUE, or KEY!=VALUE", flags.Constraint,
		func(s *Spec, v string) { include(&placementOf(s).Constraints, v) },
		func(s *Spec, v string) { exclude(&placementOf(s).Constraints, v) })
	manyKinds(e, "placement-pref", "", "spread tasks evenly: spread=node.labels.NAME", flags.Spread,
		func(s *Spec, v string) { include(&placementOf(s).Spread, v) },
		flags.Spread,
		func(s *Spec, v string) { exclude(&placementOf(s).Spread, v) })
	one(e, "replicas-max-per-node", "", "most tasks on one node; 0 is no limit", flags.Count,
		func(s *Spec, n uint32) { placementOf(s).MaxPerNode = n })
}

// rollout defines the flags of an update or, likewise, of a rollback.
func (e *Edits) rollout(prefix, of string, config func(*Spec) *clusterpb.UpdateConfig) {
	name := func(s string) string { return prefix + "-" + s }
	one(e, name("parallelism"), "", "slots changed at a time"+of+"; 1 by default, 0 is all", flags.Count,
		func(s *Spec, n uint32) { config(s).Parallelism = &n })
	one(e, name("delay"), "", "wait after a slot before the next"+of, flags.Duration,
		func(s *Spec, d *durationpb.Duration) { config(s).Delay = d })
	one(e, name("monitor"), "", "how long after it runs a task's failure still counts"+of+"; 5s by default", flags.Duration,
		func(s *Spec, d *durationpb.Duration) { config(s).Monitor = d })
	one(e, name("max-failure-ratio"), "", "share of slots that may fail"+of+", 0 to 1; 0 by default", flags.Ratio,
		func(s *Spec, r float64) { config(s).MaxFailureRatio = r })
	one(e, name("order"), "", "stop-first (default) or start-first"+of, flags.OneOf([]string{"stop-first", "start-first"}, map[string]clusterpb.UpdateConfig_Order{
		"stop-first":  clusterpb.UpdateConfig_ORDER_STOP_FIRST,
		"start-first": clusterpb.UpdateConfig_ORDER_START_FIRST,
	}), func(s *Spec, o clusterpb.UpdateConfig_Order) { config(s).Order = o })
	one(e, name("progress-deadline"), "", "how long a slot may take to run"+of+"; 10m by default", flags.Duration,
		func(s *Spec, d *durationpb.Duration) { config(s).ProgressDeadline = d })

	actions := map[string]clusterpb.UpdateConfig_FailureAction{
		"pause":    clusterpb.UpdateConfig_FAILURE_ACTION_PAUSE,
		"continue": clusterpb.UpdateConfig_FAILURE_ACTION_CONTINUE,
	}
	names := []string{"pause", "continue"}
	if prefix == "update" { // a rollback is never rolled back
		names, actions["rollback"] = append(names, "rollback"), clusterpb.UpdateConfig_FAILURE_ACTION_ROLLBACK
		e.canary(config)
	}
	one(e, name("failure-action"), "", "what to do when too many slots fail"+of+": pause (default) or "+names[len(names)-1], flags.OneOf(names, actions),
		func(s *Spec, a clusterpb.UpdateConfig_FailureAction) { config(s).FailureAction = a })
}

// canary defines the flags of an update that first runs beside the old tasks.
func (e *Edits) canary(config func(*Spec) *clusterpb.UpdateConfig) {
	one(e, "update-canary", "", "start this many new replicas beside the old ones first; as many as there are, or more, is blue-green: all traffic moves in one step", flags.Count,
		func(s *Spec, n uint32) { config(s).Canary = n })
	one(e, "update-promote", "", "let canaries take over by \"service promote\" (manual, the default) or once healthy (auto)",
		flags.OneOf([]string{"manual", "auto"}, map[string]clusterpb.UpdateConfig_Promote{
			"manual": clusterpb.UpdateConfig_PROMOTE_MANUAL,
			"auto":   clusterpb.UpdateConfig_PROMOTE_AUTO,
		}), func(s *Spec, p clusterpb.UpdateConfig_Promote) { config(s).Promote = p })
}
