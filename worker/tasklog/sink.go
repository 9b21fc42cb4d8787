package tasklog

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// sink is the log files of one task.
type sink struct {
	dir     string
	maxSize int64
	keep    uint64

	file   *os.File // nil while there is none that can be written
	number uint64
	size   int64
	pipes  int    // streams that have not ended
	told   string // why nothing could be stored, as was logged last
}

func newSink(stateDir, taskID string, maxSize int64, keep int) *sink {
	return &sink{dir: taskDir(stateDir, taskID), maxSize: maxSize, keep: uint64(keep)}
}

// begin goes on with the newest file of the task, or begins the first.
func (s *sink) begin() error {
	if err := os.MkdirAll(s.dir, 0o750); err != nil {
		return fmt.Errorf("make directory of logs: %w", err)
	}
	// A task whose start was tried again is not at its end any more.
	if err := os.Remove(filepath.Join(s.dir, endName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("reopen logs: %w", err)
	}
	numbers, err := files(s.dir)
	if err != nil {
		return fmt.Errorf("list logs: %w", err)
	}
	s.number = 1
	if len(numbers) > 0 {
		s.number = numbers[len(numbers)-1]
	}
	return s.open()
}

// open opens the file s.number. If an earlier logger died in the middle of a
// record, that record is ended so that the next one begins a line.
func (s *sink) open() error {
	f, err := os.OpenFile(filePath(s.dir, s.number), os.O_APPEND|os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	stat, err := f.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("open log: %w", err), f.Close())
	}
	size := stat.Size()
	var last [1]byte
	if _, err := f.ReadAt(last[:], size-1); err == nil && last[0] != '\n' {
		if _, err := f.Write([]byte{'\n'}); err != nil {
			return errors.Join(fmt.Errorf("end a record that is torn: %w", err), f.Close())
		}
		size++
	}
	s.file, s.size = f, size
	return nil
}

// write appends whole records. After a failure, which may leave half a record,
// the next write opens the file anew.
func (s *sink) write(records []byte) error {
	if s.file == nil {
		if err := s.begin(); err != nil {
			return err
		}
	}
	err := s.append(records)
	if err != nil {
		_ = s.file.Close()
		s.file = nil
	}
	return err
}

// append appends whole records, in the next file once this one is full.
func (s *sink) append(records []byte) error {
	for len(records) > 0 {
		n := fit(records, s.maxSize-s.size)
		if n == 0 && s.size > 0 {
			if err := s.rotate(); err != nil {
				return err
			}
			continue
		}
		if n == 0 {
			// Larger than a whole file may be: it gets one of its own.
			n = bytes.IndexByte(records, '\n') + 1
		}
		written, err := s.file.Write(records[:n])
		s.size += int64(written)
		if err != nil {
			return err
		}
		records = records[n:]
	}
	return nil
}

// fit returns how many bytes of whole records fit into room.
func fit(records []byte, room int64) int {
	if int64(len(records)) <= room {
		return len(records)
	}
	return bytes.LastIndexByte(records[:max(0, room)], '\n') + 1
}

// rotate goes on to the next file and deletes what is too old.
func (s *sink) rotate() error {
	old := s.file
	s.number++
	if err := s.open(); err != nil {
		s.number--
		return err
	}
	_ = old.Close()
	numbers, err := files(s.dir)
	if err != nil {
		return err
	}
	for _, n := range numbers {
		if n+s.keep <= s.number {
			if err := os.Remove(filePath(s.dir, n)); err != nil {
				return err
			}
		}
	}
	return nil
}

// end says that the task prints no more and closes the file.
func (s *sink) end() error {
	err := markEnded(s.dir)
	if s.file != nil {
		err = errors.Join(err, s.file.Close())
	}
	return err
}

// markEnded leaves the mark that lets followers stop.
func markEnded(dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, endName), os.O_CREATE|os.O_WRONLY, 0o640)
	if errors.Is(err, os.ErrNotExist) {
		return nil // the logs were deleted
	}
	if err != nil {
		return fmt.Errorf("mark the end of logs: %w", err)
	}
	return f.Close()
}
