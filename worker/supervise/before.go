package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// beforeFile names the child that runs on until the one in its place is ready.
// Whichever daemon comes next finds it by that.
func (c *Child) beforeFile() string { return filepath.Join(c.cfg.StateDir, c.cfg.Name+".before.pid") }

// keepBefore has the child that runs be the one before the next. It reports
// false where one before that runs still: that one does the work then, and the
// child that runs never did.
func (c *Child) keepBefore() bool {
	if p, _, err := adopt(c.beforeFile()); err == nil {
		p.close()
		return false
	}
	return os.Rename(c.pidFile(), c.beforeFile()) == nil
}

// retire ends the child before the one with that process id once the latter is
// ready, in the background until stop is called.
func (c *Child) retire(ctx context.Context, pid int) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var retiring sync.WaitGroup
	if c.cfg.Succeed != nil {
		retiring.Go(func() {
			if _, err := os.Stat(c.beforeFile()); err != nil {
				return
			}
			err := c.cfg.Succeed(ctx, pid)
			if err == nil {
				err = c.endBefore(ctx, replaceGrace)
			}
			if err != nil && ctx.Err() == nil {
				c.cfg.Log.ErrorContext(ctx, "cannot end the child of another version: the next start tries again", "err", err)
			}
		})
	}
	return func() {
		cancel()
		retiring.Wait()
	}
}

// endBefore ends the child before the one that runs, if there is one.
func (c *Child) endBefore(ctx context.Context, grace time.Duration) error {
	if p, _, err := adopt(c.beforeFile()); err == nil {
		defer p.close()
		if err := c.kill(ctx, p, grace); err != nil {
			return err
		}
	}
	if err := os.Remove(c.beforeFile()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove pid file: %w", err)
	}
	return nil
}
