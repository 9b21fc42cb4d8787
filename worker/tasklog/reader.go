package tasklog

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	logspb "github.com/muster/muster/proto/logs/v1"
)

// Reader reads the logs of tasks.
type Reader struct {
	// StateDir is that of the executor.
	StateDir string

	notifier notifier
}

// Read calls emit for each message of a task's logs, oldest first, with task
// id, time, stream and data set. It returns nil after the last one: when all is
// read, or when following once the task has ended, its logs are deleted, or ctx
// is done. A task without logs has no messages; when following they are
// waited for. An error of emit ends the reading and is returned.
func (r *Reader) Read(ctx context.Context, taskID string, o *logspb.LogOptions, emit func(*logspb.LogMessage) error) error {
	if o.GetUntil() != nil && o.GetFollow() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, o.GetUntil().AsTime())
		defer cancel()
	}
	if o.GetFollow() {
		if ok, err := awaitDir(ctx, &r.notifier, Dir(r.StateDir), taskID); !ok {
			return err
		}
	}
	f := &follower{notifier: &r.notifier, dir: taskDir(r.StateDir, taskID), taskID: taskID, o: o, emit: emit}
	defer f.close()
	err := f.run(ctx)
	if errors.Is(err, errUntil) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read logs of task %s: %w", taskID, err)
	}
	return nil
}

// errUntil ends the reading at the first line that is too late.
var errUntil = errors.New("past the end of the time asked for")

// awaitDir waits for the directory of a task that has printed nothing yet. It
// reports false when ctx was done first.
func awaitDir(ctx context.Context, n *notifier, parent, name string) (bool, error) {
	w, err := n.subscribe(parent)
	if errors.Is(err, unix.ENOENT) {
		// The logger has never run on this node.
		if err := os.MkdirAll(parent, 0o711); err != nil {
			return false, fmt.Errorf("make directory of logs: %w", err)
		}
		w, err = n.subscribe(parent)
	}
	if err != nil {
		return false, err
	}
	defer func() { _ = w.close() }()
	for !exists(filepath.Join(parent, name)) {
		if ctx.Err() != nil {
			return false, nil
		}
		w.wait(ctx)
	}
	return true, nil
}

// follower reads the files of one task, one after another.
type follower struct {
	dir    string
	taskID string
	o      *logspb.LogOptions
	emit   func(*logspb.LogMessage) error

	notifier *notifier
	watch    *subscription
	file     *os.File
	lines    *bufio.Reader
	number   uint64
	// torn is the beginning of a record that is being written.
	torn []byte
}

func (f *follower) run(ctx context.Context) error {
	if f.o.GetFollow() {
		// Watching begins before reading, so that nothing falls between.
		var err error
		f.watch, err = f.notifier.subscribe(f.dir)
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	number, offset, err := seekTail(f.dir, f.o)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if number > 0 {
		if err := f.open(number, offset); err != nil {
			return err
		}
	}
	for {
		// Asked before reading: what comes before the mark is then read.
		ended := exists(filepath.Join(f.dir, endName))
		if err := f.readAll(); err != nil {
			return err
		}
		if ended || !f.o.GetFollow() || ctx.Err() != nil || !exists(f.dir) {
			return nil //nolint:nilerr // whoever reads has enough
		}
		f.watch.wait(ctx)
	}
}

// readAll reads to the end of the newest file.
func (f *follower) readAll() error {
	for {
		next, err := f.next()
		if err != nil {
			return err
		}
		// The file is complete once there is a next one, so it is read to its
		// end after looking for it.
		if err := f.readFile(); err != nil || next == 0 {
			return err
		}
		if err := f.open(next, 0); err != nil {
			return err
		}
	}
}

// next is the number of the file after the open one, 0 when there is none.
func (f *follower) next() (uint64, error) {
	numbers, err := files(f.dir)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	for _, n := range numbers {
		if n > f.number {
			return n, nil
		}
	}
	return 0, nil
}

func (f *follower) open(number uint64, offset int64) error {
	f.closeFile()
	file, err := os.Open(filePath(f.dir, number))
	if errors.Is(err, os.ErrNotExist) {
		// Rotated away meanwhile; the next one is found by its number.
		f.number = number
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		return errors.Join(err, file.Close())
	}
	f.file, f.number, f.torn = file, number, nil
	f.lines = bufio.NewReaderSize(file, 32<<10)
	return nil
}

// readFile emits every whole record up to the end of the open file.
func (f *follower) readFile() error {
	if f.file == nil {
		return nil
	}
	for {
		line, err := f.lines.ReadSlice('\n')
		f.torn = append(f.torn, line...)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		record := f.torn[:len(f.torn)-1]
		f.torn = f.torn[:0]
		if err := f.record(record); err != nil {
			return err
		}
	}
}

// record emits one record if it was asked for. What a crash left half-written
// is passed over.
func (f *follower) record(line []byte) error {
	m, err := parseRecord(line)
	if err != nil {
		return nil //nolint:nilerr // half of a record
	}
	at := m.GetAt().AsTime()
	if early(at, f.o) {
		return nil
	}
	if late(at, f.o) {
		return errUntil
	}
	m.TaskId = f.taskID
	return f.emit(m)
}

func (f *follower) closeFile() {
	if f.file != nil {
		_ = f.file.Close()
		f.file = nil
	}
}

func (f *follower) close() {
	f.closeFile()
	if f.watch != nil {
		_ = f.watch.close()
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
