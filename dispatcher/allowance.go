package dispatcher

import "time"

// What is written down of what one node says, beside the states of its tasks:
// news of it, and details of a task whose state is the same. Normal nodes have
// little of either; each write goes to the disks of all managers.
const (
	// allowedAtOnce is how many writes there may be in a row,
	allowedAtOnce = 20
	// allowedEvery how long it takes until there may be another,
	allowedEvery = 500 * time.Millisecond
	// allowedBytes how many bytes count as one more.
	allowedBytes = 64 << 10
)

// allowance bounds the writes of one node, as a token bucket does. A large
// write may take more than there is, and the next waits all the longer.
type allowance struct {
	// full is when all is made up for. It moves on with each write.
	full time.Time
}

// wait returns how long the next write has to wait, 0 when it need not.
func (a *allowance) wait(now time.Time) time.Duration {
	if next := a.full.Add(-(allowedAtOnce - 1) * allowedEvery); next.After(now) {
		return next.Sub(now)
	}
	return 0
}

// spend counts a write of so many bytes.
func (a *allowance) spend(now time.Time, bytes int) {
	if a.full.Before(now) {
		a.full = now
	}
	a.full = a.full.Add(allowedEvery + allowedEvery*time.Duration(bytes)/allowedBytes)
}
