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

// TestNodeThatIsNowhere: a data-path address that cannot be a node's, or is
// another's, gets into nobody's mesh, whenever the node says it.
func TestNodeThatIsNowhere(t *testing.T) {
	tests := map[string]struct {
		addr, says string // says "": it is taken
	}{
		"its own":             {"192.0.2.1", ""},
		"none yet":            {"", ""},
		"of a node away":      {"192.0.2.3", ""},
		"of another node":     {"192.0.2.2", "node n2 (two) has it and is connected"},
		"the same, spelt out": {"::ffff:192.0.2.2", "node n2 (two) has it and is connected"},
		"no address":          {"n1.example", "use an IP address"},
		"a port":              {"192.0.2.1:4789", "use an IP address"},
		"a zone":              {"fe80::1%eth0", "use an IP address"},
		"loopback":            {"127.0.0.1", "others cannot send to it"},
		"unspecified":         {"::", "others cannot send to it"},
		"multicast":           {"239.1.2.3", "others cannot send to it"},
		"broadcast":           {"255.255.255.255", "others cannot send to it"},
	}
	for name, tt := range tests {
		for _, when := range []string{"at first", "later"} {
			t.Run(name+" "+when, func(t *testing.T) {
				run(t, func(c *cluster) {
					c.propose(known("n1"), known("n2"), known("n3"), at("n2", "two", "192.0.2.2", clusterpb.NodeStatus_STATE_UNWELL),
						at("n3", "three", "192.0.2.3", clusterpb.NodeStatus_STATE_DOWN))
					w := c.speak("n1", "m1")
					says := &clusterpb.NodeDescription{Hostname: "n1", DataAddr: tt.addr}
					if when == "later" {
						w.as("n1")
						w.say(&dispatchpb.SessionRequest{Kind: &dispatchpb.SessionRequest_Description{Description: says}})
					} else {
						w.say(&dispatchpb.SessionRequest{Kind: &dispatchpb.SessionRequest_Register{Register: &dispatchpb.Register{Description: says}}})
					}
					ended := w.live(context.Background())
					select {
					case err := <-ended:
						if tt.says == "" || when == "at first" && !strings.Contains(err.Error(), tt.says) || when == "later" && !errdefs.IsUnavailable(err) {
							t.Errorf("refused: %v", err)
						}
					case <-time.After(2 * time.Second):
						if tt.says != "" {
							t.Error("it was not refused")
						}
					}
					n, _ := c.store.State().Node("n1")
					if got := n.GetDescription().GetDataAddr(); tt.says == "" && got != tt.addr || tt.says != "" && got != "" {
						t.Errorf("others send to %q", got)
					}
				})
			})
		}
	}
}

// at says where a node is, and in which state.
func at(id, hostname, addr string, s clusterpb.NodeStatus_State) *raftpb.Change {
	return state.ObserveNode(&raftpb.ObserveNode{
		Id: id, Description: &clusterpb.NodeDescription{Hostname: hostname, DataAddr: addr}, Status: &clusterpb.NodeStatus{State: s},
	})
}
