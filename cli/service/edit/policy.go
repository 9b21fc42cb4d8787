package edit

import (
	"fmt"
	"maps"
	"slices"

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
	known := conditions.Parse
	conditions.Parse = func(s string) (clusterpb.RestartPolicy_Condition, error) {
		c, err := known(s)
		if err != nil && (s == "always" || s == "unless-stopped") { // of Compose and docker run
			err = fmt.Errorf("%w; %s is any here", err, s)
		}
		return c, err
	}
	e.byDefault(one(e, "restart-condition", "", "when to replace a task that has ended: none, on-failure or any", conditions,
		func(s *Spec, c clusterpb.RestartPolicy_Condition) { restartOf(s).Condition = c }), "any")
	e.byDefault(one(e, "restart-delay", "", "delay before the first of several restarts in a row; it doubles with each", flags.Duration,
		func(s *Spec, d *durationpb.Duration) { restartOf(s).Delay = d }), "5s")
	e.byDefault(one(e, "restart-max-delay", "", "longest delay between restarts", flags.Duration,
		func(s *Spec, d *durationpb.Duration) { restartOf(s).MaxDelay = d }), "5m")
	one(e, "restart-max-attempts", "", "number of restarts before a slot is given up; 0 is unlimited", flags.Count,
		func(s *Spec, n uint32) { restartOf(s).MaxAttempts = n })
	one(e, "restart-window", "", "time over which restarts are counted; 0 is unlimited", flags.Duration,
		func(s *Spec, d *durationpb.Duration) { restartOf(s).Window = d })
}

// placement defines where tasks may run.
func (e *Edits) placement() {
	many(e, list{
		"constraint", "", "run tasks only on matching nodes: KEY==VALUE or KEY!=VALUE",
		"add a placement constraint: KEY==VALUE or KEY!=VALUE", "remove a placement constraint",
	}, flags.Constraint,
		func(s *Spec, v string) { include(&placementOf(s).Constraints, v) },
		func(s *Spec, v string) { exclude(&placementOf(s).Constraints, v) })
	manyKinds(e, list{
		"placement-pref", "", "spread tasks evenly over the values of a label: spread=node.labels.NAME",
		"add a placement preference: spread=node.labels.NAME", "remove a placement preference: spread=node.labels.NAME",
	}, flags.Spread,
		func(s *Spec, v string) { include(&placementOf(s).Spread, v) },
		flags.Spread,
		func(s *Spec, v string) { exclude(&placementOf(s).Spread, v) })
	one(e, "replicas-max-per-node", "", "maximum number of tasks on a node; 0 is unlimited", flags.Count,
		func(s *Spec, n uint32) { placementOf(s).MaxPerNode = n })
}

// updates defines how an update is rolled out.
func (e *Edits) updates() {
	e.rollout("update", updateOf, rolloutTexts{
		parallelism:      "number of slots to update at a time; 0 is all",
		delay:            "delay between updating one slot and the next",
		monitor:          "time after its start in which the failure of a new task counts",
		maxFailureRatio:  "share of slots whose update may fail, from 0 to 1",
		order:            "what comes first when a task is updated: stop-first or start-first",
		progressDeadline: "time in which an updated task must be running",
		failureAction:    "what to do when an update fails: pause, continue or rollback",
	}, "pause", "continue", "rollback")
	e.canary()
}

// rollbacks defines how a rollback is rolled out. One that fails is not rolled
// back itself.
func (e *Edits) rollbacks() {
	e.rollout("rollback", rollbackOf, rolloutTexts{
		parallelism:      "number of slots to roll back at a time; 0 is all",
		delay:            "delay between rolling back one slot and the next",
		monitor:          "time after its start in which the failure of a task counts",
		maxFailureRatio:  "share of slots whose rollback may fail, from 0 to 1",
		order:            "what comes first when a task is rolled back: stop-first or start-first",
		progressDeadline: "time in which a rolled back task must be running",
		failureAction:    "what to do when a rollback fails: pause or continue",
	}, "pause", "continue")
}

// rolloutTexts describe the flags of a rollout.
type rolloutTexts struct {
	parallelism, delay, monitor, maxFailureRatio, order, progressDeadline, failureAction string
}

// rollout defines the flags of an update or, likewise, of a rollback, and what
// may be done when it fails.
func (e *Edits) rollout(prefix string, config func(*Spec) *clusterpb.UpdateConfig, texts rolloutTexts, actions ...string) {
	name := func(s string) string { return prefix + "-" + s }
	e.byDefault(one(e, name("parallelism"), "", texts.parallelism, flags.Count,
		func(s *Spec, n uint32) { config(s).Parallelism = &n }), "1")
	one(e, name("delay"), "", texts.delay, flags.Duration,
		func(s *Spec, d *durationpb.Duration) { config(s).Delay = d })
	e.byDefault(one(e, name("monitor"), "", texts.monitor, flags.Duration,
		func(s *Spec, d *durationpb.Duration) { config(s).Monitor = d }), "5s")
	one(e, name("max-failure-ratio"), "", texts.maxFailureRatio, flags.Ratio,
		func(s *Spec, r float64) { config(s).MaxFailureRatio = r })
	e.byDefault(one(e, name("order"), "", texts.order, flags.OneOf([]string{"stop-first", "start-first"}, map[string]clusterpb.UpdateConfig_Order{
		"stop-first":  clusterpb.UpdateConfig_ORDER_STOP_FIRST,
		"start-first": clusterpb.UpdateConfig_ORDER_START_FIRST,
	}), func(s *Spec, o clusterpb.UpdateConfig_Order) { config(s).Order = o }), "stop-first")
	e.byDefault(one(e, name("progress-deadline"), "", texts.progressDeadline, flags.Duration,
		func(s *Spec, d *durationpb.Duration) { config(s).ProgressDeadline = d }), "10m")

	all := map[string]clusterpb.UpdateConfig_FailureAction{
		"pause":    clusterpb.UpdateConfig_FAILURE_ACTION_PAUSE,
		"continue": clusterpb.UpdateConfig_FAILURE_ACTION_CONTINUE,
		"rollback": clusterpb.UpdateConfig_FAILURE_ACTION_ROLLBACK,
	}
	maps.DeleteFunc(all, func(name string, _ clusterpb.UpdateConfig_FailureAction) bool { return !slices.Contains(actions, name) })
	e.byDefault(one(e, name("failure-action"), "", texts.failureAction, flags.OneOf(actions, all),
		func(s *Spec, a clusterpb.UpdateConfig_FailureAction) { config(s).FailureAction = a }), "pause")
}

// canary defines the flags of an update that first runs beside the old tasks.
func (e *Edits) canary() {
	one(e, "update-canary", "", "number of new replicas to start beside the old ones first; as many as there are old ones makes a blue-green update, which moves all traffic in one step", flags.Count,
		func(s *Spec, n uint32) { updateOf(s).Canary = n })
	e.byDefault(one(e, "update-promote", "", "how canaries take over: manual (by \"service promote\") or auto (once they are healthy)",
		flags.OneOf([]string{"manual", "auto"}, map[string]clusterpb.UpdateConfig_Promote{
			"manual": clusterpb.UpdateConfig_PROMOTE_MANUAL,
			"auto":   clusterpb.UpdateConfig_PROMOTE_AUTO,
		}), func(s *Spec, p clusterpb.UpdateConfig_Promote) { updateOf(s).Promote = p }), "manual")
}
