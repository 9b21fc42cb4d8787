package executortest

import (
	"time"

	"github.com/muster/muster/worker/executor"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// Behaviour is what the tasks of one image do. The zero value prepares and
// starts at once, runs until it is stopped, and then ends at once with
// status 0.
type Behaviour struct {
	// PrepareDelay is how long Prepare takes; PrepareErr is how it then fails.
	PrepareDelay time.Duration
	PrepareErr   error
	// StartDelay is how long Start takes; StartErr is how it then fails.
	StartDelay time.Duration
	StartErr   error

	// ExitAfter is how long the process runs before it ends by itself with
	// Exit; 0 is for ever unless ExitAtOnce is set.
	ExitAfter  time.Duration
	ExitAtOnce bool
	Exit       executor.Exit

	// StopDelay is the time from the stop signal to the end with StopCode.
	StopDelay time.Duration
	StopCode  int32
	// IgnoreStop lets only Kill end the process.
	IgnoreStop bool

	// Health is the image's own health check.
	Health *clusterpb.HealthCheck
	// HealthyAfter is how long after its start Exec begins to answer 0, and
	// UnhealthyAfter when it answers 1 again; 0 is never.
	HealthyAfter   time.Duration
	UnhealthyAfter time.Duration
	// Output is what each Exec prints; whether it is healthy if empty.
	Output string
	// ExecDelay is how long each Exec takes.
	ExecDelay time.Duration
}
