package supervise

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// lookPeriod is how often a child's run directory is looked at.
const lookPeriod = time.Second

// attend returns nil once the child has ended. It ends one whose run directory
// was emptied, or whose sockets are gone: nobody reaches it any more.
func (c *Child) attend(ctx context.Context, p *process) error {
	for {
		look, cancel := context.WithTimeout(ctx, lookPeriod)
		err := p.wait(look)
		over := look.Err() != nil
		cancel()
		if err == nil || !over || ctx.Err() != nil {
			return err
		}
		if !c.reachable() {
			c.cfg.Log.WarnContext(ctx, "the run directory was emptied, or a socket in it removed: the child is started anew", "dir", c.cfg.RunDir, "pid", p.pid)
			return c.end(ctx, p, replaceGrace)
		}
	}
}

// mark is a file that is in the run directory since the child was started: while
// it is there, nobody has emptied the directory. It holds served once all that
// the child listens at was there.
func (c *Child) mark() string { return filepath.Join(c.cfg.RunDir, c.cfg.Name+".started") }

// served in the mark says that a socket which is not there was taken away. A
// child without it may still be starting.
const served = "served"

// reachable reports whether the child's run directory is as the child left it.
// A directory that cannot be looked at counts as such.
func (c *Child) reachable() bool {
	if c.cfg.RunDir == "" {
		return true
	}
	noted, err := os.ReadFile(c.mark())
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	if slices.ContainsFunc(c.cfg.Sockets, missing) {
		return string(noted) != served
	}
	if string(noted) != served {
		_ = c.note(served) // the next look tries again
	}
	return true
}

// note writes the mark.
func (c *Child) note(state string) error {
	if c.cfg.RunDir == "" {
		return nil
	}
	return os.WriteFile(c.mark(), []byte(state), 0o644)
}

func missing(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

func (c *Child) makeDirs() error {
	for _, dir := range []string{c.cfg.RunDir, c.cfg.StateDir, filepath.Dir(c.cfg.LogFile)} {
		if dir == "" {
			continue
		}
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return fmt.Errorf("%s: make directory: %w", c.cfg.Name, err)
		}
	}
	return nil
}
