package plan

import (
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/spec"
)

// maxRemovedNodes bounds what nodes are told of nodes that were removed: those
// that were removed last.
const maxRemovedNodes = 1000

// settingsOf returns the settings that all nodes share.
func settingsOf(v View) *dispatchpb.Settings {
	c := v.Cluster()
	s := &dispatchpb.Settings{
		DataPathPort:    c.GetDataPathPort(),
		GossipKeys:      v.Secrets().GetGossipKeys(),
		ClusterId:       c.GetId(),
		HeartbeatPeriod: durationpb.New(spec.HeartbeatPeriod(c.GetSpec())),
	}
	removed := c.GetRemovedNodes()
	for _, r := range removed[max(0, len(removed)-maxRemovedNodes):] {
		s.RemovedNodes = append(s.RemovedNodes, r.GetId())
	}
	for n := range v.Networks() {
		s.Networks = append(s.Networks, &dispatchpb.Network{Id: n.GetId(), Subnets: n.GetSubnets()})
	}
	for n := range v.Nodes() {
		if n.GetRole() == clusterpb.NodeRole_NODE_ROLE_MANAGER && n.GetDescription().GetControlAddr() != "" {
			s.Managers = append(s.Managers, n.GetDescription().GetControlAddr())
		}
	}
	slices.Sort(s.GetManagers())
	return s
}

// settingsFor returns the settings of one node.
func (p *Plan) settingsFor(nodeID string) *dispatchpb.Settings {
	n, ok := p.view.Node(nodeID)
	if !ok || p.settings.GetSelfIndex() == n.GetIndex() {
		return p.settings
	}
	own := proto.CloneOf(p.settings)
	own.SelfIndex = n.GetIndex()
	return own
}
