package upstream

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

const (
	firstBackOff = time.Second
	lastBackOff  = 30 * time.Second
	// maxKnown is how many servers are remembered: tasks name their own.
	maxKnown = 1000
)

// health knows which servers did not answer of late.
type health struct {
	mu sync.Mutex
	of map[server]state
}

// state is of a server that did not answer. Until then others come first.
type state struct {
	failed int
	until  time.Time
}

// attempt is a server to ask, and how long to wait for it.
type attempt struct {
	server
	patience time.Duration
}

// order returns the servers in the order in which to ask them: as they are
// listed, but those that did not answer of late come last.
func (h *health) order(servers []server, now time.Time) []attempt {
	h.mu.Lock()
	defer h.mu.Unlock()
	attempts := make([]attempt, len(servers))
	for i, s := range servers {
		attempts[i] = attempt{s, tryFor}
		if h.of[s].failed > 0 && len(servers) > 1 {
			attempts[i].patience = retryFor
		}
	}
	slices.SortStableFunc(attempts, func(a, b attempt) int {
		return cmp.Compare(max(0, h.of[a.server].until.Sub(now)), max(0, h.of[b.server].until.Sub(now)))
	})
	return attempts
}

// note takes in whether a server answered.
func (h *health) note(s server, answered bool, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if answered {
		delete(h.of, s)
		return
	}
	if len(h.of) >= maxKnown {
		clear(h.of) // they are found out again
	}
	st := h.of[s]
	st.failed++
	st.until = now.Add(min(lastBackOff, firstBackOff<<min(st.failed-1, 10)))
	h.of[s] = st
}
