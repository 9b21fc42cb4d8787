package tasklog

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"

	logspb "github.com/muster/muster/proto/logs/v1"
)

// tailChunk is how much is read at a time from the end of a file.
const tailChunk = 64 << 10

// seekTail finds where the last lines that o asks for begin in the logs in dir:
// the number of the file, 0 when there is none, and the offset in it. Only lines
// of the time asked for count, since only they are shown. Pieces of a line count
// as one with it.
func seekTail(dir string, o *logspb.LogOptions) (number uint64, offset int64, err error) {
	numbers, err := files(dir)
	if err != nil || len(numbers) == 0 {
		return 0, 0, err
	}
	n := o.GetTail()
	if n < 0 {
		return numbers[0], 0, nil
	}
	for _, number := range slices.Backward(numbers) {
		var found int64
		offset, found, err = tailFile(filePath(dir, number), n, o)
		if errors.Is(err, os.ErrNotExist) {
			break // rotated away
		}
		if err != nil {
			return 0, 0, err
		}
		if found >= n {
			return number, offset, nil
		}
		n -= found
	}
	return numbers[0], 0, nil
}

// tailFile finds where the last n lines of a file that are of the time in o
// begin. When it has fewer, found says how many. For none it is behind the last
// of them.
func tailFile(path string, n int64, o *logspb.LogOptions) (offset, found int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = f.Close() }()
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, 0, err
	}
	back := &backward{f: f, offset: end}
	// What follows the last newline is a record being written.
	start, _, err := back.previous(end)
	if err != nil {
		return 0, 0, err
	}
	for offset = start; offset > 0; offset = start {
		var record []byte
		if start, record, err = back.previous(offset - 1); err != nil {
			return 0, 0, err
		}
		if !isPiece(record) && wanted(record, o) {
			if found == n {
				return offset, found, nil
			}
			found++
		}
	}
	return 0, found, nil
}

// backward reads a file from its end, in chunks.
type backward struct {
	f      *os.File
	buf    []byte // holds the file from offset on
	offset int64
}

// previous returns the record that ends before end, until the next call, and
// where it begins.
func (b *backward) previous(end int64) (start int64, record []byte, err error) {
	for {
		if have := b.buf[:max(0, end-b.offset)]; len(have) > 0 || b.offset == 0 {
			at := bytes.LastIndexByte(have, '\n')
			if at >= 0 || b.offset == 0 {
				return b.offset + int64(at) + 1, have[at+1:], nil
			}
		}
		if err := b.more(end); err != nil {
			return 0, nil, err
		}
	}
}

// more reads the chunk before what is there; what lies after end is not needed
// any more.
func (b *backward) more(end int64) error {
	size := min(tailChunk, b.offset)
	keep := b.buf[:max(0, min(int64(len(b.buf)), end-b.offset))]
	buf := make([]byte, size, size+int64(len(keep)))
	if _, err := b.f.ReadAt(buf, b.offset-size); err != nil {
		return err
	}
	b.buf, b.offset = append(buf, keep...), b.offset-size
	return nil
}
