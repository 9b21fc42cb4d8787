package plan

import (
	"fmt"
	"testing"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/raftstore/state"
)

// afterRemovals is a cluster that nodes were removed from.
type afterRemovals struct {
	View
	removed int
}

func (v afterRemovals) Cluster() *clusterpb.Cluster {
	c := &clusterpb.Cluster{}
	for i := range v.removed {
		c.RemovedNodes = append(c.RemovedNodes, &clusterpb.RemovedNode{Id: fmt.Sprint(i)})
	}
	return c
}

func TestRemovedNodesAreTold(t *testing.T) {
	for removed, first := range map[int]int{1: 0, maxRemovedNodes: 0, maxRemovedNodes + 7: 7} {
		told := settingsOf(afterRemovals{state.NewState(), removed}).GetRemovedNodes()
		if len(told) != removed-first || told[0] != fmt.Sprint(first) {
			t.Errorf("of %d removed nodes %d are told, from %s on; want them from %d on", removed, len(told), told[0], first)
		}
	}
}
