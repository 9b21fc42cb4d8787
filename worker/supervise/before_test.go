package supervise

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"testing"
	"time"
)

// runs reports whether a process does.
func runs(pid int) bool {
	_, err := startTime(pid)
	return err == nil
}

// TestSuccession: a child of another version runs on until the next one is
// ready, through the end of that one, of the daemon, and of its patience.
func TestSuccession(t *testing.T) {
	cfg := shell(t, "exec sleep 1000")
	ready := make(chan error)
	cfg.Succeed = func(ctx context.Context, _ int) error {
		select {
		case err := <-ready:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	c := New(cfg)
	stop := running(t, c)
	eventually(t, "the child", func() bool { return c.Pid() != 0 })
	first := c.Pid()
	stop()

	next := func(option string) (*Child, func()) {
		cfg := cfg
		cfg.Command = append(slices.Clone(cfg.Command), option)
		c := New(cfg)
		stop := running(t, c)
		eventually(t, "the next child", func() bool { return c.Pid() != 0 && c.Pid() != first })
		return c, stop
	}
	c, stop = next("one")
	second := c.Pid()
	ready <- errors.New("not today")
	if err := syscall.Kill(second, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the next one again", func() bool { return c.Pid() != 0 && c.Pid() != second })
	second = c.Pid()
	stop()
	if !runs(first) || !runs(second) {
		t.Fatal("the daemon's end is that of a child")
	}
	// A third version comes before the second was ready: the first works on.
	c, _ = next("two")
	eventually(t, "the end of the second", func() bool { return !runs(second) })
	if !runs(first) || !runs(c.Pid()) {
		t.Fatal("the child that works was ended, or there is no next one")
	}
	third := c.Pid()
	ready <- nil
	eventually(t, "the end of the first", func() bool { return !runs(first) })
	if c.Pid() != third || !runs(third) {
		t.Error("the third did not outlive the first")
	}
}

// TestStopEndsBoth stops a child before it is ready.
func TestStopEndsBoth(t *testing.T) {
	cfg := shell(t, "exec sleep 1000")
	cfg.Succeed = func(ctx context.Context, _ int) error {
		<-ctx.Done()
		return ctx.Err()
	}
	c := New(cfg)
	stop := running(t, c)
	eventually(t, "the child", func() bool { return c.Pid() != 0 })
	first := c.Pid()
	stop()
	cfg.Command = append(slices.Clone(cfg.Command), "another")
	c = New(cfg)
	running(t, c)
	eventually(t, "the next child", func() bool { return c.Pid() != 0 })
	second := c.Pid()
	if err := c.Stop(t.Context(), time.Second); err != nil {
		t.Fatal(err)
	}
	if runs(first) || runs(second) {
		t.Error("a child runs on")
	}
}
