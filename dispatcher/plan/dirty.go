package plan

import (
	"slices"

	"google.golang.org/protobuf/proto"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/raftstore/state"
)

// dirty is what may differ from the last plan.
type dirty struct {
	// nodes have other tasks or are another peer; services have other ports or
	// endpoints.
	nodes, services map[string]struct{}
	// images: another node may hold other images. settings: managers, keys,
	// networks or the cluster's own object changed.
	images, settings bool
}

// everything is what differs from a plan of nothing.
func everything(v View) dirty {
	d := dirty{nodes: map[string]struct{}{}, services: map[string]struct{}{}, images: true, settings: true}
	for n := range v.Nodes() {
		d.nodes[n.GetId()] = struct{}{}
	}
	for s := range v.Services() {
		d.services[s.GetId()] = struct{}{}
	}
	for t := range v.Tasks() {
		// Tasks outlive their service.
		d.services[t.GetServiceId()] = struct{}{}
	}
	return d
}

// dirtyOf maps changed objects to what they concern.
func dirtyOf(refs map[state.Ref]struct{}, before, now View) dirty {
	d := dirty{nodes: map[string]struct{}{}, services: map[string]struct{}{}}
	for ref := range refs {
		switch ref.Kind {
		case state.KindTask:
			d.nodes[ref.Node] = struct{}{}
			d.services[ref.Owner] = struct{}{}
		case state.KindService:
			d.services[ref.ID] = struct{}{}
		case state.KindNode:
			d.node(ref.ID, before, now)
		default: // what all nodes share
			d.settings = true
		}
	}
	delete(d.nodes, "") // of tasks that are not assigned yet
	return d
}

// node looks closer at a node that changed: most often it is one that pulled
// an image, or was seen again, which concerns few others.
func (d *dirty) node(id string, before, now View) {
	d.nodes[id] = struct{}{}
	b, _ := before.Node(id)
	n, _ := now.Node(id)
	if b.GetStatus().GetState() != n.GetStatus().GetState() || !proto.Equal(b.GetDescription(), n.GetDescription()) {
		d.images, d.settings = true, true
	}
	if !sameImages(b.GetImages(), n.GetImages()) {
		d.images = true
	}
	if b.GetRole() != n.GetRole() || b.GetIndex() != n.GetIndex() {
		d.settings = true
	}
	if (b == nil) != (n == nil) || lifecycle.Down(b) != lifecycle.Down(n) {
		for _, v := range []View{before, now} {
			for t := range v.TasksOn(id) {
				d.services[t.GetServiceId()] = struct{}{}
			}
		}
	}
}

func sameImages(a, b []*clusterpb.NodeImage) bool {
	return slices.EqualFunc(a, b, func(a, b *clusterpb.NodeImage) bool { return proto.Equal(a, b) })
}
