package dispatcher_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
)

// as registers the node as that run of a daemon.
func (w *wire) as(instance string) {
	w.t.Helper()
	w.say(&dispatchpb.SessionRequest{Kind: &dispatchpb.SessionRequest_Register{Register: &dispatchpb.Register{
		Description: &clusterpb.NodeDescription{Hostname: "n1"}, Instance: instance,
	}}})
}

// live answers the manager's heartbeats, and says when the session ended.
func (w *wire) live(ctx context.Context) (ended <-chan error) {
	c := make(chan error, 1)
	go func() {
		for {
			msg, err := w.Recv()
			if err != nil {
				c <- err
				return
			}
			if msg.GetHeartbeat() != nil && ctx.Err() == nil {
				w.beat()
			}
		}
	}()
	return c
}

// TestOneNodeTwoMachines: who has a copy of a node's state directory does not
// take the session from the one that lives, whoever leads.
func TestOneNodeTwoMachines(t *testing.T) {
	const second = "second"
	tests := map[string]struct {
		// elsewhere: the state tells of a daemon at another address.
		elsewhere bool
		// first is what the first daemon does: it "lives", is "silent", "comes" a
		// second later, or is "gone".
		first    string
		instance string // of the second
		admitted bool
	}{
		"a copy while the node lives":         {first: "lives", instance: second},
		"the node, back after a power-off":    {first: "silent", instance: second, admitted: true},
		"the node's own daemon connects anew": {first: "lives", instance: "first", admitted: true},
		"a copy is faster to a new leader":    {elsewhere: true, first: "comes", instance: second},
		"the node moved to another address":   {elsewhere: true, first: "gone", instance: second, admitted: true},
		"its daemon was killed and is back":   {first: "gone", instance: second, admitted: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			run(t, func(c *cluster) {
				c.propose(known("n1"))
				if tt.elsewhere {
					c.propose(state.ObserveNode(&raftpb.ObserveNode{Id: "n1", Status: &clusterpb.NodeStatus{
						State: clusterpb.NodeStatus_STATE_READY, Addr: "192.0.2.9:1", Instance: "first",
					}}))
				}
				living, die := context.WithCancel(context.Background())
				defer die()
				come := func() {
					w := c.speak("n1", "m1")
					w.as("first")
					if _, err := w.until(isRegistered); err != nil {
						t.Errorf("the first: %v", err)
					}
					w.live(living)
				}
				switch tt.first {
				case "lives":
					come()
				case "silent":
					come()
					die()
				case "comes":
					time.AfterFunc(time.Second, come)
				}
				w, start := c.speak("n1", "m1"), time.Now()
				w.as(tt.instance)
				_, err := w.until(isRegistered)
				if tt.admitted && err != nil || !tt.admitted && !errdefs.IsFailedPrecondition(err) {
					t.Errorf("after %v: %v; admitted is right: %t", time.Since(start), err, tt.admitted)
				}
				if !tt.admitted && !strings.Contains(err.Error(), "has a copy of its state directory") {
					t.Errorf("it says %v", err)
				}
				if d := time.Since(start); d > 4*time.Second {
					t.Errorf("after %v, later than a node waits for an answer", d)
				}
			})
		})
	}
}
