package ingress

import "time"

// looksShare is how many times longer than a look at the kernel the rest
// after it is: looking takes at most a tenth of one processor.
const looksShare = 9

// settle is how long a look waits for the rest of a change: deleting a device
// is told address by address before the device is gone.
const settle = 20 * time.Millisecond

// pace says when the kernel may be looked at again after a notice. A look
// whose repair is undone at once, by software that wants something else,
// makes the next ones come later and later.
type pace struct {
	rest time.Duration // after the last look
	last time.Time     // end of the last look
}

// looked takes in a look at the kernel, and whether it repaired something.
func (p *pace) looked(begin, end time.Time, repaired bool) {
	rest := minRetry
	if repaired && begin.Sub(p.last) < 2*p.rest+settle {
		rest = max(minRetry, 2*p.rest)
	}
	p.rest = min(max(rest, looksShare*end.Sub(begin)), maxRetry)
	p.last = end
}

// wait is how long the next look has to wait.
func (p *pace) wait(now time.Time) time.Duration {
	return max(settle, p.rest-now.Sub(p.last))
}

// leastRest and mostRest bound the rest after a change, whatever it took.
const (
	leastRest = time.Millisecond
	mostRest  = time.Second
)

// rest is how long the next change waits after one that took so much of a core:
// changes one after the other, on a node with very many ports or flows, take
// half of one at most. One that had to wait for a core need not rest for that.
func rest(spent time.Duration) time.Duration { return min(max(spent, leastRest), mostRest) }
