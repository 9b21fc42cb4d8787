package tasklog

import (
	"context"
	"errors"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// notifier tells readers when something happens in the directories that they
// follow. It has one inotify for all: a user may have few, and readers follow
// hundreds of tasks. Its zero value is ready.
type notifier struct {
	mu    sync.Mutex
	watch *watch                  // nil while nobody follows
	of    map[int][]*subscription // by inotify's number of the directory
}

// subscription is one reader's interest in a directory.
type subscription struct {
	notifier *notifier
	wd       int
	news     chan struct{}
}

// followed is what readers are told of: a file that comes or grows, and the end
// of the directory.
const followed = unix.IN_MODIFY | unix.IN_CREATE | unix.IN_DELETE_SELF

// subscribe follows a directory until the subscription is closed. It returns
// ENOENT if there is none.
func (n *notifier) subscribe(dir string) (*subscription, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.watch == nil {
		w, err := newWatch()
		if err != nil {
			return nil, err
		}
		n.watch, n.of = w, make(map[int][]*subscription)
		go n.run(w) // ends with the last subscription
	}
	wd, err := n.watch.add(dir, followed)
	if err != nil {
		return nil, errors.Join(err, n.rest())
	}
	s := &subscription{notifier: n, wd: wd, news: make(chan struct{}, 1)}
	n.of[wd] = append(n.of[wd], s)
	return s, nil
}

// run tells subscriptions until w is closed.
func (n *notifier) run(w *watch) {
	buf := make([]byte, 8<<10)
	for {
		size, err := w.file.Read(buf)
		if err != nil {
			return
		}
		for _, c := range parseChanges(buf[:size]) {
			n.tell(w, c)
		}
	}
}

// tell wakes those whom a change concerns; all, if changes were lost.
func (n *notifier) tell(w *watch, c change) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.watch != w {
		return
	}
	for wd, subscriptions := range n.of {
		if wd != c.wd && c.mask&unix.IN_Q_OVERFLOW == 0 {
			continue
		}
		for _, s := range subscriptions {
			select {
			case s.news <- struct{}{}:
			default:
			}
		}
	}
}

// rest gives inotify back when nobody follows.
func (n *notifier) rest() error {
	if len(n.of) > 0 {
		return nil
	}
	w := n.watch
	n.watch = nil
	return w.close()
}

// wait blocks until something has happened or ctx is done.
func (s *subscription) wait(ctx context.Context) {
	select {
	case <-s.news:
	case <-ctx.Done():
	}
}

func (s *subscription) close() error {
	n := s.notifier
	n.mu.Lock()
	defer n.mu.Unlock()
	others := slices.DeleteFunc(n.of[s.wd], func(o *subscription) bool { return o == s })
	if len(others) > 0 {
		n.of[s.wd] = others
		return nil
	}
	delete(n.of, s.wd)
	_, _ = unix.InotifyRmWatch(n.watch.fd, uint32(s.wd)) // it ends with its directory, too
	return n.rest()
}
