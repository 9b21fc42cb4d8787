package tasklog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd/errdefs"
)

const (
	defaultMaxSize  = 10 << 20
	defaultMaxFiles = 3
	// readSize is how much is read at once: as much as a pipe holds.
	readSize = 64 << 10
	// burst is how often one pipe is read before the others have their turn.
	burst = 4
)

// Config of the logger.
type Config struct {
	// RunDir and StateDir are those of the executor: the first has the pipes,
	// the second takes the logs.
	RunDir   string
	StateDir string
	// MaxSize of a log file in bytes, 10 MiB when 0; MaxFiles a task, 3 when 0.
	MaxSize  int64
	MaxFiles int
	Log      *slog.Logger
}

// RunLogger reads the pipes of all tasks until ctx is done. It is the main
// function of the logger process: one thread, one buffer, and a few words for
// each pipe.
func RunLogger(ctx context.Context, cfg Config) error {
	if cfg.MaxSize == 0 {
		cfg.MaxSize = defaultMaxSize
	}
	if cfg.MaxFiles == 0 {
		cfg.MaxFiles = defaultMaxFiles
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	for _, dir := range []string{cfg.RunDir, Dir(cfg.StateDir)} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return fmt.Errorf("make directory of the logger: %w", err)
		}
	}
	unlock, err := lock(filepath.Join(cfg.RunDir, "logger.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	l := &logger{
		cfg: cfg, pipes: make(map[int32]*pipe), sinks: make(map[string]*sink), buf: make([]byte, readSize),
	}
	if err := l.open(); err != nil {
		return errors.Join(err, l.close())
	}
	stop := context.AfterFunc(ctx, l.wake)
	defer stop()
	err = l.loop(ctx)
	return errors.Join(err, l.close())
}

// lock makes sure that no other logger takes lines away from this one.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock logger: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another logger runs in %s: %w", filepath.Dir(path), errdefs.ErrFailedPrecondition), f.Close())
	}
	return func() { _ = f.Close() }, nil
}

// logger is the state of the one loop; nothing in it is shared.
type logger struct {
	cfg   Config
	epoll int
	// event wakes the loop when the logger should stop.
	event int
	// watch is of dir, the directory of pipes as it was found.
	watch *watch
	dir   os.FileInfo
	pipes map[int32]*pipe // by file descriptor
	sinks map[string]*sink
	buf   []byte
	out   []byte

	unfinished unfinished
}

// pipe is one stream of a task.
type pipe struct {
	fd     int
	taskID string
	name   string
	splitter
}

// open prepares the loop and takes up the pipes that are there.
func (l *logger) open() (err error) {
	l.epoll, l.event = -1, -1
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("make epoll: %w", err)
	}
	if l.event, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return fmt.Errorf("make eventfd: %w", err)
	}
	if err := l.poll(l.event); err != nil {
		return err
	}
	return l.follow()
}

func (l *logger) poll(fd int) error {
	err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
	if err != nil {
		return fmt.Errorf("watch file descriptor: %w", err)
	}
	return nil
}

func (l *logger) wake() {
	_, _ = unix.Write(l.event, []byte{1, 0, 0, 0, 0, 0, 0, 0})
}

// loop serves whatever is ready. New pipes come first, so that a task whose
// one stream has ended is known by its other.
func (l *logger) loop(ctx context.Context) error {
	events := make([]unix.EpollEvent, 128)
	looked := time.Now()
	for ctx.Err() == nil {
		n, err := unix.EpollWait(l.epoll, events, sooner(l.unfinished.wait(time.Now()), time.Until(looked.Add(lookPeriod))))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("wait for tasks to print: %w", err)
		}
		for _, e := range events[:n] {
			if e.Fd == int32(l.watch.fd) {
				if err := l.changed(); err != nil {
					return err
				}
			}
		}
		for _, e := range events[:n] {
			if p, ok := l.pipes[e.Fd]; ok {
				l.read(p)
			}
		}
		l.writeUnfinished(time.Now())
		if time.Since(looked) >= lookPeriod {
			l.look()
			looked = time.Now()
		}
	}
	return nil
}

// scan takes up every pipe, and marks the logs of tasks that have none as
// ended: their pipes went while no logger ran.
func (l *logger) scan() error {
	entries, err := os.ReadDir(PipeDir(l.cfg.RunDir))
	if err != nil {
		return fmt.Errorf("list pipes: %w", err)
	}
	for _, e := range entries {
		l.take(e.Name())
	}
	ids, err := Tasks(l.cfg.StateDir)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if _, ok := l.sinks[id]; !ok {
			if err := markEnded(taskDir(l.cfg.StateDir, id)); err != nil {
				l.cfg.Log.Warn("cannot mark the end of logs", "task", id, "err", err)
			}
		}
	}
	return nil
}

// take opens a pipe. One that cannot be opened is lost to the logs, not to the
// others; one whose logs cannot be stored is read all the same.
func (l *logger) take(name string) {
	taskID, stream, ok := parsePipe(name)
	if !ok || l.has(name) {
		return
	}
	if err := l.takePipe(&pipe{taskID: taskID, name: name, splitter: splitter{stream: stream}}); err != nil {
		l.cfg.Log.Error("cannot log what a task prints", "task", taskID, "err", err)
	}
}

func (l *logger) takePipe(p *pipe) (err error) {
	path := filepath.Join(PipeDir(l.cfg.RunDir), p.name)
	p.fd, err = unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open pipe: %w", err)
	}
	// Tells whoever holds the pipe that it is read; see Hold.Await.
	if err := unix.Flock(p.fd, unix.LOCK_SH); err != nil {
		return errors.Join(fmt.Errorf("lock pipe: %w", err), unix.Close(p.fd))
	}
	s, ok := l.sinks[p.taskID]
	if !ok {
		s = newSink(l.cfg.StateDir, p.taskID, l.cfg.MaxSize, l.cfg.MaxFiles)
		l.sinks[p.taskID] = s
		l.stored(p.taskID, s, s.begin())
	}
	s.pipes++
	l.pipes[int32(p.fd)] = p
	if err := l.poll(p.fd); err != nil {
		l.drop(p)
		return err
	}
	// Epoll says nothing about a pipe whose writers are gone already.
	l.read(p)
	return nil
}

// has reports whether the pipe with that name is open. A name that stands for
// a new pipe is not: the task's start was tried again.
func (l *logger) has(name string) bool {
	for _, p := range l.pipes {
		if p.name == name && l.isAt(p) {
			return true
		}
	}
	return false
}

// isAt reports whether the name in the directory still stands for the open pipe.
func (l *logger) isAt(p *pipe) bool {
	var opened, named unix.Stat_t
	if unix.Fstat(p.fd, &opened) != nil || unix.Stat(filepath.Join(PipeDir(l.cfg.RunDir), p.name), &named) != nil {
		return false
	}
	return opened.Dev == named.Dev && opened.Ino == named.Ino
}

// read takes what a pipe holds. No data and no writer is the end of the stream.
func (l *logger) read(p *pipe) {
	defer func() { l.unfinished.note(p, time.Now()) }()
	for range burst {
		n, err := unix.Read(p.fd, l.buf)
		switch {
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
			return
		case err != nil:
			l.cfg.Log.Error("cannot read what a task prints", "task", p.taskID, "err", err)
			l.drop(p)
			return
		case n == 0:
			l.write(p, p.finish(l.out[:0], time.Now()))
			l.drop(p)
			return
		}
		l.write(p, p.split(l.out[:0], time.Now(), l.buf[:n]))
		if n < len(l.buf) {
			return
		}
	}
}

// write stores records. When the disk is full they are lost: a task must not
// hang because its logs cannot be kept.
func (l *logger) write(p *pipe, records []byte) {
	l.out = records[:0]
	if len(records) == 0 {
		return
	}
	s := l.sinks[p.taskID]
	l.stored(p.taskID, s, s.write(records))
}

// stored logs why what a task prints could not be stored, once for each reason.
func (l *logger) stored(taskID string, s *sink, err error) {
	reason := ""
	if err != nil {
		reason = err.Error()
	}
	if reason != s.told && err != nil {
		l.cfg.Log.Error("cannot store what a task prints", "task", taskID, "err", err)
	}
	s.told = reason
}

// drop closes a pipe and removes it, and ends the logs with the last one.
func (l *logger) drop(p *pipe) {
	if l.isAt(p) {
		_ = os.Remove(filepath.Join(PipeDir(l.cfg.RunDir), p.name))
	}
	delete(l.pipes, int32(p.fd))
	p.rest = nil // what it holds has nowhere to go any more
	_ = unix.Close(p.fd)
	s := l.sinks[p.taskID]
	s.pipes--
	if s.pipes > 0 {
		return
	}
	delete(l.sinks, p.taskID)
	if err := s.end(); err != nil {
		l.cfg.Log.Error("cannot end logs", "task", p.taskID, "err", err)
	}
}

// close leaves the pipes to the next logger. Beginnings of lines are stored,
// since nobody else has them.
func (l *logger) close() error {
	for _, p := range l.pipes {
		l.write(p, p.finish(l.out[:0], time.Now()))
		_ = unix.Close(p.fd)
	}
	var errs []error
	for _, s := range l.sinks {
		errs = append(errs, s.file.Close())
	}
	if l.watch != nil {
		errs = append(errs, l.watch.close())
	}
	for _, fd := range []int{l.epoll, l.event} {
		if fd >= 0 {
			errs = append(errs, unix.Close(fd))
		}
	}
	return errors.Join(errs...)
}
