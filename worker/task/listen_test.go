package task

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
)

// Silent implements Mesh: the task listens on 80 as of a time.
func (n *node) Silent(_ context.Context, _ string, ports []uint16) ([]uint16, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if time.Now().Before(n.listensAt) {
		return ports, nil
	}
	return nil, nil
}

// TestRunsOnceItListens: a task without a health check takes traffic when
// somebody listens on its published port, and is said not to when nobody does.
func TestRunsOnceItListens(t *testing.T) {
	for name, tt := range map[string]struct {
		after, running time.Duration
		message        string
		ports          []*clusterpb.Port
	}{
		"at once":      {0, 0, "", web(lifecycle.Running).GetPorts()},
		"later":        {2 * time.Second, 2250 * time.Millisecond, "", web(lifecycle.Running).GetPorts()},
		"never":        {time.Hour, listenTimeout, "nothing in it listens on 80/tcp after 10s; it gets connections all the same", web(lifecycle.Running).GetPorts()},
		"udp":          {time.Hour, 0, "", []*clusterpb.Port{{Published: 53, Target: 53, Protocol: clusterpb.Port_PROTOCOL_UDP}}},
		"no port":      {time.Hour, 0, "", nil},
		"on the hosts": {time.Second, 1250 * time.Millisecond, "", []*clusterpb.Port{{Published: 80, Target: 80, Mode: clusterpb.Port_MODE_HOST}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNode(t)
				one := web(lifecycle.Running)
				one.Ports = tt.ports
				n.listensAt = time.Now().Add(tt.after)
				n.run(n.fake, one, assigned)
				defer func() { n.stop() }()
				began := time.Now()
				for n.last().GetState() != lifecycle.Running && time.Since(began) < time.Minute {
					time.Sleep(10 * time.Millisecond)
					synctest.Wait()
					if n.last().GetState() != lifecycle.Running && n.ctl.Snapshot().Serving {
						t.Fatal("it serves before it runs")
					}
				}
				if took := time.Since(began); took < min(tt.after, tt.running) || took > tt.running+500*time.Millisecond {
					t.Errorf("it runs after %s, want %s", took, tt.running)
				}
				if got := n.last().GetMessage(); got != tt.message {
					t.Errorf("it says %q, want %q", got, tt.message)
				}
			})
		})
	}
}
