package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// rotateEvery is how often the size of the log is looked at.
const rotateEvery = 30 * time.Second

// rotate keeps the log of the child bounded.
func (c *Child) rotate(ctx context.Context) {
	ticker := time.NewTicker(rotateEvery)
	defer ticker.Stop()
	for {
		if err := rotateFile(c.cfg.LogFile, c.cfg.LogSize); err != nil {
			c.cfg.Log.WarnContext(ctx, "cannot rotate the log of the child", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// rotateFile copies a file that is larger than size to PATH.1, at most its last
// twice as many bytes, and empties it. It cannot be renamed: the child has it open, and outlives who could
// tell it to open another. The child appends, so it goes on at the beginning; what
// it writes between copy and truncation is lost. So is what cannot be copied: a
// disk that is full must not stay so for a log.
func rotateFile(path string, size int64) error {
	stat, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) || (err == nil && stat.Size() <= size) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(copyEnd(path, max(0, stat.Size()-2*size), 2*size), os.Truncate(path, 0))
}

// copyEnd makes PATH.1 of what a file has from an offset on, most bytes at most.
func copyEnd(path string, offset, most int64) error {
	from, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }()
	to, err := os.OpenFile(path+".1", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	if _, err = from.Seek(offset, io.SeekStart); err == nil {
		_, err = io.Copy(to, io.LimitReader(from, most)) // the child may write faster
	}
	if err := errors.Join(err, to.Close()); err != nil {
		return fmt.Errorf("copy the end of %s: %w", path, err)
	}
	return nil
}
