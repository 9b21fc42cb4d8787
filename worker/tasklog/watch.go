package tasklog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// watch tells what happens in a directory. Its descriptor never blocks: the logger
// polls it with its own epoll, readers wait for it with Go's.
type watch struct {
	fd   int
	file *os.File
}

// change is one event of inotify.
type change struct {
	mask uint32
	name string
}

func newWatch(dir string, mask uint32) (*watch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("make inotify (fs.inotify.max_user_instances may be used up): %w", err)
	}
	if _, err := unix.InotifyAddWatch(fd, dir, mask); err != nil {
		return nil, errors.Join(fmt.Errorf("watch %s: %w", dir, err), unix.Close(fd))
	}
	return &watch{fd: fd, file: os.NewFile(uintptr(fd), dir)}, nil
}

// read returns what has happened since the last call.
func (w *watch) read() ([]change, error) {
	buf := make([]byte, 8<<10)
	n, err := unix.Read(w.fd, buf)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read inotify: %w", err)
	}
	return parseChanges(buf[:n]), nil
}

// parseChanges reads struct inotify_event: watch, mask, cookie and length of
// the name, 32 bits each, then the name, filled up with zeros.
func parseChanges(raw []byte) []change {
	var changes []change
	for len(raw) >= unix.SizeofInotifyEvent {
		mask := binary.NativeEndian.Uint32(raw[4:])
		end := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(raw[12:]))
		if end > len(raw) {
			break
		}
		name, _, _ := bytes.Cut(raw[unix.SizeofInotifyEvent:end], []byte{0})
		changes = append(changes, change{mask: mask, name: string(name)})
		raw = raw[end:]
	}
	return changes
}

// wait blocks until something has happened or ctx is done, and returns nil
// either way.
func (w *watch) wait(ctx context.Context) error {
	_ = w.file.SetReadDeadline(time.Time{})
	stop := context.AfterFunc(ctx, func() { _ = w.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	_, err := w.file.Read(make([]byte, 4<<10))
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("wait for a change: %w", err)
	}
	return nil
}

func (w *watch) close() error { return w.file.Close() }
