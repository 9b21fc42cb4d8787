package tasklog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// watch tells what happens in directories. Its descriptor never blocks: the logger
// polls it with its own epoll, the notifier waits for it with Go's.
type watch struct {
	fd   int
	file *os.File
}

// change is one event of inotify.
type change struct {
	wd   int // what add returned; -1 for none
	mask uint32
	name string
}

// newWatch makes an inotify instance, of which a user has 128 by default.
func newWatch() (*watch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("make inotify (fs.inotify.max_user_instances may be used up): %w", err)
	}
	return &watch{fd: fd, file: os.NewFile(uintptr(fd), "inotify")}, nil
}

// add begins to tell of what happens in a directory.
func (w *watch) add(dir string, mask uint32) (wd int, err error) {
	if wd, err = unix.InotifyAddWatch(w.fd, dir, mask); err != nil {
		return -1, fmt.Errorf("watch %s: %w", dir, err)
	}
	return wd, nil
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
		changes = append(changes, change{wd: int(int32(binary.NativeEndian.Uint32(raw))), mask: mask, name: string(name)})
		raw = raw[end:]
	}
	return changes
}

func (w *watch) close() error { return w.file.Close() }
