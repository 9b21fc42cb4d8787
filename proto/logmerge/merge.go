package logmerge

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	logspb "github.com/muster/muster/proto/logs/v1"
)

const (
	// room is how many bytes of lines a source may have waiting; then it waits.
	room = 128 << 10
	// batch is how many bytes of lines are taken at a time.
	batch = 64 << 10
	// overhead is what a line counts beside its data.
	overhead = 64
	// forever is the wait for what no time changes.
	forever = time.Hour
)

// ErrDropped is why a source is no longer heard.
var ErrDropped = errors.New("its lines are not waited for any more")

// Merge puts lines of its sources in order of time. Sources put lines in from
// goroutines of their own; one goroutine takes them out.
type Merge struct {
	window  time.Duration
	changed chan struct{}

	mu      sync.Mutex
	sources []*Source
	stopped bool
}

// New returns a merge without sources. With a window of 0 every source is
// waited for until it has a line or is at its end.
func New(window time.Duration) *Merge {
	return &Merge{window: window, changed: make(chan struct{}, 1)}
}

// Source is one that gives lines in order of time.
type Source struct {
	merge   *Merge
	space   chan struct{} // receives when lines were taken
	dropped chan struct{} // closed when it is not heard any more

	// The rest belongs to merge.mu.
	lines []line
	size  int       // of lines, in bytes
	empty time.Time // since when it has no line
	ended bool
}

type line struct {
	*logspb.LogMessage
	// from is when the line began to wait: when it was printed, or when it came
	// if the clock of its node is ahead.
	from time.Time
}

// Join adds a source, which is waited for from now on.
func (m *Merge) Join() *Source {
	s := &Source{merge: m, space: make(chan struct{}, 1), dropped: make(chan struct{}), empty: time.Now()}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped {
		s.drop()
		return s
	}
	m.sources = append(m.sources, s)
	return s
}

// Stop drops all sources, also those that join later.
func (m *Merge) Stop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stopped = true
	for _, s := range m.sources {
		s.drop()
	}
	m.leave()
}

// Changed receives when there may be more to take, or a source has ended.
func (m *Merge) Changed() <-chan struct{} { return m.changed }

// Put adds lines of a source. It waits while many of them are not taken yet. It
// fails with ErrDropped once the source is dropped, and when ctx is done.
func (s *Source) Put(ctx context.Context, messages ...*logspb.LogMessage) error {
	for len(messages) > 0 && !s.add(messages, time.Now()) {
		select {
		case <-s.space:
		case <-s.dropped:
			return ErrDropped
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// add takes lines if there is room.
func (s *Source) add(messages []*logspb.LogMessage, now time.Time) bool {
	s.merge.mu.Lock()
	defer s.merge.mu.Unlock()
	if s.ended || s.size >= room {
		return false
	}
	for _, m := range messages {
		from := now
		if at := m.GetAt().AsTime(); at.Before(now) {
			from = at
		}
		s.lines = append(s.lines, line{m, from})
		s.size += size(m)
	}
	signal(s.merge.changed)
	return true
}

// Close says that no more lines come.
func (s *Source) Close() {
	s.merge.mu.Lock()
	defer s.merge.mu.Unlock()
	s.ended = true
	s.merge.leave()
	signal(s.merge.changed)
}

// Drop no longer waits for a source, nor takes lines of it.
func (s *Source) Drop() {
	s.merge.mu.Lock()
	defer s.merge.mu.Unlock()
	s.drop()
	s.merge.leave()
	signal(s.merge.changed)
}

func (s *Source) drop() {
	if !s.ended {
		close(s.dropped)
	}
	s.ended, s.lines = true, nil
}

// Silent reports whether a source that has not ended has had no line for d.
func (s *Source) Silent(now time.Time, d time.Duration) bool {
	s.merge.mu.Lock()
	defer s.merge.mu.Unlock()
	return !s.ended && s.silent(now, d)
}

func (s *Source) silent(now time.Time, d time.Duration) bool {
	return len(s.lines) == 0 && now.Sub(s.empty) >= d
}

// Quiet reports whether no source has had a line for d.
func (m *Merge) Quiet(now time.Time, d time.Duration) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !slices.ContainsFunc(m.sources, func(s *Source) bool { return !s.silent(now, d) })
}

// Done reports whether every source has ended and all lines are taken.
func (m *Merge) Done() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.sources) == 0
}

// Take returns the next lines, about 64 KiB of them at most, and how long until
// there may be more if nothing changes.
func (m *Merge) Take(now time.Time) (lines []*logspb.LogMessage, wait time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for taken := 0; taken < batch; {
		first := m.first()
		if first == nil {
			return lines, forever
		}
		if wait = m.hold(first.lines[0], now); wait > 0 {
			return lines, wait
		}
		lines = append(lines, first.pop(now))
		taken += size(lines[len(lines)-1])
		m.leave()
	}
	return lines, 0
}

// first is the source with the earliest line, of equal ones the one that joined
// first; nil when there is no line.
func (m *Merge) first() (first *Source) {
	for _, s := range m.sources {
		if len(s.lines) > 0 && (first == nil || s.lines[0].GetAt().AsTime().Before(first.lines[0].GetAt().AsTime())) {
			first = s
		}
	}
	return first
}

// hold is how long the earliest line is to be kept, since a source without one
// may still give an earlier one.
func (m *Merge) hold(l line, now time.Time) (wait time.Duration) {
	for _, s := range m.sources {
		switch {
		case len(s.lines) > 0:
		case m.window == 0:
			return forever
		default:
			wait = max(wait, s.empty.Add(m.window).Sub(now), l.from.Add(m.window).Sub(now))
		}
	}
	return wait
}

func (s *Source) pop(now time.Time) *logspb.LogMessage {
	m := s.lines[0].LogMessage
	s.lines[0] = line{}
	s.lines, s.size = s.lines[1:], s.size-size(m)
	if len(s.lines) == 0 {
		s.empty = now
	}
	signal(s.space)
	return m
}

// leave removes the sources that have ended and whose lines are taken.
func (m *Merge) leave() {
	m.sources = slices.DeleteFunc(m.sources, func(s *Source) bool { return s.ended && len(s.lines) == 0 })
}

func size(m *logspb.LogMessage) int { return len(m.GetData()) + overhead }

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
