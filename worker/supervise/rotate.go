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

// rotateFile copies a file that is larger than size to PATH.1 and empties it.
// It cannot be renamed: the child has it open, and outlives who could tell it
// to open another. The child appends, so it goes on at the beginning; what it
// writes between copy and truncation is lost.
func rotateFile(path string, size int64) error {
	stat, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) || (err == nil && stat.Size() <= size) {
		return nil
	}
	if err != nil {
		return err
	}
	from, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }()
	to, err := os.OpenFile(path+".1", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	if err := errors.Join(err, to.Close()); err != nil {
		return fmt.Errorf("copy %s: %w", path, err)
	}
	return os.Truncate(path, 0)
}
