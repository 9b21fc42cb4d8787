package tasklog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	logspb "github.com/muster/muster/proto/logs/v1"
)

// inotifies counts this process's instances.
func inotifies(t *testing.T) (n int) {
	t.Helper()
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if to, _ := os.Readlink(fd); to == "anon_inode:inotify" {
			n++
		}
	}
	return n
}

// TestManyAreFollowed: readers of hundreds of tasks share one inotify, each hears
// of its own task, and nothing is held once they are done.
func TestManyAreFollowed(t *testing.T) {
	const many = 200
	p := newPlace(t)
	r := &Reader{StateDir: p.StateDir}
	before := inotifies(t)
	line := func(text string) []byte { return appendRecord(nil, time.Now(), stdout, whole, []byte(text)) }
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var (
		wg    sync.WaitGroup
		first = make(chan string, many)
		got   = make([]string, many)
		sinks []*sink
	)
	for i := range many {
		s := newSink(p.StateDir, fmt.Sprint("t", i), 1<<20, 3)
		if err := s.begin(); err != nil {
			t.Fatal(err)
		}
		if err := s.write(line("begun")); err != nil {
			t.Fatal(err)
		}
		sinks = append(sinks, s)
		wg.Go(func() {
			err := r.Read(ctx, fmt.Sprint("t", i), all(), func(m *logspb.LogMessage) error {
				if got[i] == "" {
					first <- string(m.GetData())
				}
				got[i] += string(m.GetData())
				return nil
			})
			if err != nil {
				t.Errorf("follow task %d: %v", i, err)
			}
		})
	}
	for i := range many {
		select {
		case <-first:
		case <-ctx.Done():
			t.Fatalf("only %d tasks are followed", i)
		}
	}
	if n := inotifies(t) - before; n != 1 {
		t.Errorf("%d tasks are followed by %d inotify instances, want 1", many, n)
	}
	for i := range many {
		if err := errors.Join(sinks[i].write(line(fmt.Sprint("more of ", i))), sinks[i].end()); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	for i, text := range got {
		if want := fmt.Sprintf("begun\nmore of %d\n", i); text != want {
			t.Errorf("task %d printed %q, want %q", i, text, want)
		}
	}
	if n := inotifies(t) - before; n != 0 {
		t.Errorf("%d inotify instances are left", n)
	}
}
