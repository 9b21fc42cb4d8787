package control

import (
	"slices"
	"time"
)

// agenda says which keys to look at and when.
type agenda struct {
	// ready keys wait in the order they became due, so that none is passed over.
	ready  []string
	queued map[string]bool
	// later holds when other keys are due.
	later map[string]time.Time
	// rest holds until when a key whose plan took long is left alone.
	rest map[string]time.Time
}

func newAgenda() *agenda {
	return &agenda{queued: make(map[string]bool), later: make(map[string]time.Time), rest: make(map[string]time.Time)}
}

// add makes a key due at a time, or earlier if it is so already; the zero time is now.
func (a *agenda) add(key string, at time.Time) {
	if a.queued[key] {
		return
	}
	if rest, ok := a.rest[key]; ok && at.Before(rest) {
		at = rest
	}
	if at.IsZero() {
		delete(a.later, key)
		a.queued[key] = true
		a.ready = append(a.ready, key)
		return
	}
	if old, ok := a.later[key]; !ok || at.Before(old) {
		a.later[key] = at
	}
}

// take returns the keys due at now and forgets them.
func (a *agenda) take(now time.Time) []string {
	for key, at := range a.rest {
		if !at.After(now) {
			delete(a.rest, key)
		}
	}
	var due []string
	for key, at := range a.later {
		if !at.After(now) {
			due = append(due, key)
		}
	}
	slices.Sort(due)
	for _, key := range due {
		a.add(key, time.Time{})
	}
	taken := a.ready
	a.ready = nil
	clear(a.queued)
	return taken
}

// pause leaves the key alone until a time.
func (a *agenda) pause(key string, until time.Time) { a.rest[key] = until }

// wait returns how long until a key is due: at most an hour.
func (a *agenda) wait(now time.Time) time.Duration {
	if len(a.ready) > 0 {
		return 0
	}
	next := time.Hour
	for _, at := range a.later {
		next = min(next, max(0, at.Sub(now)))
	}
	return next
}
