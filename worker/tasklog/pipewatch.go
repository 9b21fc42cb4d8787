package tasklog

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// lookPeriod is how often the logger looks whether the directory of pipes is
// still the one that it watches: not all that replaces it is told.
const lookPeriod = 5 * time.Second

// follow watches the directory of pipes that is there now, which it makes if
// need be, and takes up the pipes in it. Those that are open stay so: their
// tasks go on printing to them, whatever became of their names.
func (l *logger) follow() error {
	path := PipeDir(l.cfg.RunDir)
	if err := os.MkdirAll(path, 0o711); err != nil {
		return fmt.Errorf("make directory of the pipes: %w", err)
	}
	dir, err := os.Stat(path) // before the watch: if it is replaced between, the next look finds it
	if err != nil {
		return fmt.Errorf("look at the pipes: %w", err)
	}
	w, err := newWatch()
	if err != nil {
		return err
	}
	if _, err = w.add(path, unix.IN_MOVED_TO|unix.IN_DELETE); err == nil {
		err = l.poll(w.fd)
	}
	if err != nil {
		return errors.Join(err, w.close())
	}
	if l.watch != nil {
		_ = l.watch.close()
	}
	l.watch, l.dir = w, dir
	return l.scan()
}

// look follows another directory of pipes once one is in the place of the
// first, as when the run directory was emptied.
func (l *logger) look() {
	now, err := os.Stat(PipeDir(l.cfg.RunDir))
	if err == nil && os.SameFile(now, l.dir) {
		return
	}
	l.cfg.Log.Warn("the directory of pipes was removed: another is followed")
	if err := l.follow(); err != nil {
		l.cfg.Log.Error("cannot log tasks that start now: will retry", "err", err)
	}
}

// changed looks at what happened to the directory of pipes.
func (l *logger) changed() error {
	changes, err := l.watch.read()
	if err != nil {
		return err
	}
	for _, c := range changes {
		switch {
		case c.mask&unix.IN_Q_OVERFLOW != 0:
			if err := l.scan(); err != nil {
				return err
			}
		case c.mask&unix.IN_IGNORED != 0:
			l.look()
		case c.mask&unix.IN_MOVED_TO != 0:
			l.take(c.name)
		}
	}
	return nil
}

// sooner is the time for epoll, in milliseconds, that ends by both; ms is -1
// for no end.
func sooner(ms int, d time.Duration) int {
	other := max(0, int(d.Milliseconds())+1)
	if ms < 0 {
		return other
	}
	return min(ms, other)
}
