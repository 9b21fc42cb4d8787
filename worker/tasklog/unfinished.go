package tasklog

import "time"

// unfinishedFor is how long the beginning of a line waits for its end. What
// draws its progress, or asks a question, never ends its line.
const unfinishedFor = time.Second

// unfinished are the pipes that hold the beginning of a line, since when, and
// when to look at them again. Its zero value is none.
type unfinished struct {
	since map[*pipe]time.Time
	look  time.Time
}

// note keeps what a pipe holds after it was read.
func (u *unfinished) note(p *pipe, now time.Time) {
	if len(p.rest) == 0 {
		delete(u.since, p)
		return
	}
	if u.since == nil {
		u.since = make(map[*pipe]time.Time)
	}
	if _, known := u.since[p]; known {
		return
	}
	if len(u.since) == 0 {
		u.look = now.Add(unfinishedFor)
	}
	u.since[p] = now
}

// due returns the pipes that have held the beginning of a line for long enough,
// and forgets them.
func (u *unfinished) due(now time.Time) (pipes []*pipe) {
	if len(u.since) == 0 || now.Before(u.look) {
		return nil
	}
	u.look = now.Add(unfinishedFor)
	for p, since := range u.since {
		at := since.Add(unfinishedFor)
		switch {
		case !at.After(now):
			pipes = append(pipes, p)
			delete(u.since, p)
		case at.Before(u.look):
			u.look = at
		}
	}
	return pipes
}

// wait is how long until some are due, in milliseconds as epoll has it: -1 when
// there are none.
func (u *unfinished) wait(now time.Time) int {
	if len(u.since) == 0 {
		return -1
	}
	return int(max(0, u.look.Sub(now)).Milliseconds()) + 1
}

// writeUnfinished stores beginnings of lines that have waited for long enough,
// as pieces.
func (l *logger) writeUnfinished(now time.Time) {
	for _, p := range l.unfinished.due(now) {
		l.write(p, p.finish(l.out[:0], now))
	}
}
