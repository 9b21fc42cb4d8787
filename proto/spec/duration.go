package spec

import (
	"math"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
)

// longest bounds the durations of a spec. Sums of some, and twice as much, which
// restarts and rollouts reckon with, are far from where arithmetic overflows.
const longest = 10 * 365 * 24 * time.Hour

// timed is a duration with its name; one that is not set is 0. They are looked at
// in an order, so that the same spec is refused with the same words each time.
type timed struct {
	name string
	*durationpb.Duration
}

// validateDurations refuses those that are below 0 or above most.
func validateDurations(what string, most time.Duration, list ...timed) error {
	for _, t := range list {
		if d := t.AsDuration(); d < 0 || d > most {
			return invalid("%s%s %s: use 0s to %gh", what, t.name, d, most.Hours())
		}
	}
	return nil
}

// Times is d n times, or the longest time there is when that would be longer.
func Times(d time.Duration, n uint32) time.Duration {
	if n > 0 && d > math.MaxInt64/time.Duration(n) {
		return math.MaxInt64
	}
	return d * time.Duration(n)
}
