package ca

import (
	"sync"
	"time"
)

const (
	// attemptLimit wrong secrets an address may show in an attemptPeriod.
	attemptLimit  = 10
	attemptPeriod = time.Minute

	// maxAddresses bounds the memory of the count.
	maxAddresses = 4096
)

// attempts counts wrong secrets by address. A secret of 128 bits is not
// guessed; the limit keeps a misconfigured machine from filling the log and
// the managers' time. Right secrets do not count.
type attempts struct {
	mu    sync.Mutex
	since time.Time
	wrong map[string]int
}

func newAttempts() *attempts { return &attempts{wrong: make(map[string]int)} }

// allow reports whether the address may show a secret.
func (a *attempts) allow(addr string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rollLocked(now)
	return a.wrong[addr] < attemptLimit
}

// count notes that the address showed a wrong secret.
func (a *attempts) count(addr string, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rollLocked(now)
	if _, known := a.wrong[addr]; known || len(a.wrong) < maxAddresses {
		a.wrong[addr]++
	}
}

// rollLocked starts a new period when the last one is over.
func (a *attempts) rollLocked(now time.Time) {
	if now.Sub(a.since) >= attemptPeriod {
		a.since = now
		clear(a.wrong)
	}
}
