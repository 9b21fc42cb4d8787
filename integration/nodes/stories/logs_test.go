package stories

import (
	"bufio"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/integration/nodes"
	"github.com/muster/muster/integration/nodes/fleet"
	"github.com/muster/muster/integration/pack"
)

// TestLogsGoOn follows a task's log while the daemon of its node is killed and
// while its containerd is: no line is lost, none comes twice.
func TestLogsGoOn(t *testing.T) {
	c := fleet.Start(t, 2, 1)
	first, worker := c.Nodes[0], c.Nodes[1]
	c.Load(pack.Busybox("busybox:latest"))
	first.MustMuster("service", "create", "-q", "--name", "count", "--constraint", "node.hostname=="+worker.Name, "--stop-grace-period", "0s",
		"busybox:latest", "sh", "-c", "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.05; done")

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	log := &counted{t: t, lines: follow(ctx, t, first, "count")}
	for _, harm := range []func(){
		func() {
			worker.KillDaemon()
			worker.Start()
		},
		worker.KillContainerd,
		func() {
			worker.Stop()
			worker.Start()
		},
	} {
		log.await(40)
		harm()
		c.AwaitReady(2)
		log.await(40)
	}
	cancel()

	out := first.MustMuster("service", "logs", "--raw", "count")
	var lines []string
	for line := range strings.Lines(out) {
		lines = append(lines, strings.TrimSpace(line))
	}
	want := make([]string, len(lines))
	for i := range want {
		want[i] = fmt.Sprint("line ", i+1)
	}
	if len(lines) < 200 || !slices.Equal(lines, want) {
		t.Errorf("the log has %d lines that are not the first so many:\n%s", len(lines), out)
	}
	if tail := first.MustMuster("service", "logs", "--raw", "--tail", "3", "count"); strings.Count(tail, "\n") != 3 {
		t.Errorf("the last three lines are %q", tail)
	}
}

// follow returns the lines of "service logs -f" as they come, until ctx is done.
func follow(ctx context.Context, t *testing.T, from *nodes.Node, service string) <-chan string {
	t.Helper()
	cmd := from.MusterCommand(ctx, "service", "logs", "--raw", "--follow", service)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 10_000)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(lines)
		s := bufio.NewScanner(out)
		for s.Scan() {
			lines <- s.Text()
		}
		if err := cmd.Wait(); err != nil && ctx.Err() == nil {
			t.Errorf("service logs -f ended: %v: %s", err, stderr.String())
		}
	}()
	t.Cleanup(func() { <-done })
	return lines
}

// counted is a log whose lines count up from 1.
type counted struct {
	t     *testing.T
	lines <-chan string
	last  int
}

// await takes n lines, each of which must follow the one before.
func (c *counted) await(n int) {
	c.t.Helper()
	timeout := time.After(fleet.Converge)
	for range n {
		select {
		case line, ok := <-c.lines:
			if !ok {
				c.t.Fatal("the log ended")
			}
			if line != fmt.Sprint("line ", c.last+1) {
				c.t.Fatalf("%q came after line %d", line, c.last)
			}
			c.last++
		case <-timeout:
			c.t.Fatalf("no line came after line %d within %s", c.last, fleet.Converge)
		}
	}
}
