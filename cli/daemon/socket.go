package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/containerd/errdefs"
)

// lookPeriod is how often the daemon looks whether its socket is still there.
const lookPeriod = time.Second

// socket is a listener for the clients of this machine that is there again when
// the run directory is emptied or removed under it, and with it the hold on that
// directory. Only root can open it.
type socket struct {
	path string
	log  *slog.Logger

	mu     sync.Mutex
	dir    *os.File // the run directory, held
	l      *net.UnixListener
	made   os.FileInfo // of l, as it was made
	closed bool
	lost   error // why there is none
}

var _ net.Listener = (*socket)(nil)

// listen takes hold of the socket's directory and listens in it.
func listen(path string, log *slog.Logger) (*socket, error) {
	dir, err := hold("run", filepath.Dir(path), 0o711)
	if err != nil {
		return nil, err
	}
	s := &socket{path: path, log: log, dir: dir}
	if err := s.open(); err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return s, nil
}

// open listens anew. Whoever is connected stays so.
func (s *socket) open() error {
	// The run directory is held: a socket that is there is a dead one.
	if err := os.Remove(s.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the old socket: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: s.path, Net: "unix"})
	if err != nil {
		return fmt.Errorf("listen for the client: %w", err)
	}
	l.SetUnlinkOnClose(false) // its path may be another's by then
	err = os.Chmod(s.path, 0o600)
	made, errStat := os.Stat(s.path)
	if err := errors.Join(err, errStat); err != nil {
		return errors.Join(fmt.Errorf("protect the socket: %w", err), l.Close())
	}
	if s.l != nil {
		_ = s.l.Close()
	}
	s.l, s.made = l, made
	return nil
}

// keep keeps the socket where clients look for it until ctx is done. It fails
// when another daemon has taken the run directory meanwhile.
func (s *socket) keep(ctx context.Context) error {
	tick := time.NewTicker(lookPeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := s.look(); errdefs.IsFailedPrecondition(err) {
			return err
		}
	}
}

// look makes directory and socket anew where they are not as they were made.
// It returns ErrFailedPrecondition if the directory is another daemon's.
func (s *socket) look() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || stands(s.path, s.made) {
		return nil
	}
	before := s.lost
	s.lost = s.again()
	switch {
	case s.lost == nil:
		s.log.Warn("the run directory was emptied: the daemon listens anew", "socket", s.path)
	case before == nil:
		s.log.Warn("the run directory was emptied, and the daemon cannot listen anew: will retry", "err", s.lost)
	}
	return s.lost
}

func (s *socket) again() error {
	held, err := s.dir.Stat()
	if err != nil {
		return err
	}
	if !stands(filepath.Dir(s.path), held) {
		dir, err := hold("run", filepath.Dir(s.path), 0o711)
		if err != nil {
			return err
		}
		_ = s.dir.Close()
		s.dir = dir
	}
	return s.open()
}

// stands reports whether the path is still that of the file.
func stands(path string, made os.FileInfo) bool {
	now, err := os.Stat(path)
	return err == nil && os.SameFile(now, made)
}

// trouble returns why clients do not reach the daemon, or nil.
func (s *socket) trouble(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lost
}

// Accept implements net.Listener.
func (s *socket) Accept() (net.Conn, error) {
	for {
		l := s.current()
		conn, err := l.Accept()
		if err == nil || l == s.current() {
			return conn, err
		}
	}
}

func (s *socket) current() *net.UnixListener {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.l
}

// Addr implements net.Listener.
func (s *socket) Addr() net.Addr { return &net.UnixAddr{Name: s.path, Net: "unix"} }

// Close implements net.Listener. It removes the socket. The run directory
// stays held.
func (s *socket) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if stands(s.path, s.made) {
		_ = os.Remove(s.path)
	}
	return s.l.Close()
}

// release lets go of the run directory, after Close.
func (s *socket) release() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dir.Close()
}
