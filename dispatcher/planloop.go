package dispatcher

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/muster/muster/raftstore/state"
)

// maxPause bounds how long news are held back under load.
const maxPause = 20 * time.Millisecond

// dirty is what may differ from the last plan.
type dirty struct {
	// nodes have other tasks or are another peer; services have other ports or
	// endpoints.
	nodes, services map[string]struct{}
	// images: another node may hold other images. settings: managers, keys or
	// the cluster's own object changed.
	images, settings bool
}

// planLoop makes a plan of every state and wakes the sessions it concerns.
// It acts at once when idle; under load it pauses for as long as the last
// round took, so that changes gather and half the time is left to others.
func (t *term) planLoop(ctx context.Context) error {
	sub := t.cfg.Store.Subscribe()
	defer sub.Close()
	p := firstPlan(t.cfg.Store.State())
	t.plan.Store(p)
	close(t.planned)

	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.lowWaterDue:
		case <-sub.C:
		}
		start := time.Now()
		if refs := sub.Take(); len(refs) > 0 {
			st := t.cfg.Store.State()
			s := p.next(st, st.Index, dirtyOf(refs, p.view, st))
			t.spread(s)
			p = s.plan
		}
		t.raiseLowWaterMark(p.index)
		if !pause(ctx, min(time.Since(start), maxPause)) {
			return nil
		}
	}
}

func pause(ctx context.Context, d time.Duration) (goOn bool) {
	if d <= 0 {
		return ctx.Err() == nil
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// firstPlan returns the plan of a state of which nothing is known yet.
func firstPlan(st *state.State) *plan {
	all := dirty{nodes: map[string]struct{}{}, services: map[string]struct{}{}, images: true, settings: true}
	for n := range st.Nodes() {
		all.nodes[n.GetId()] = struct{}{}
	}
	for s := range st.Services() {
		all.services[s.GetId()] = struct{}{}
	}
	for t := range st.Tasks() {
		// Tasks outlive their service.
		all.services[t.GetServiceId()] = struct{}{}
	}
	p := &plan{mesh: emptyMesh()}
	return p.next(st, st.Index, all).plan
}

// step is a plan and what is new in it.
type step struct {
	*plan
	// tasks are the nodes whose own tasks may have changed; all says that every
	// node has to look.
	tasks map[string]struct{}
	all   bool
}

// next returns the plan of the state v at index.
func (p *plan) next(v view, index uint64, d dirty) step {
	q := &plan{index: index, view: v, sources: p.sources, settings: p.settings}
	q.mesh = p.mesh.next(v, d.nodes, d.services)
	if d.images {
		q.sources = newSources(v.Nodes())
	}
	if d.settings {
		if s := settingsOf(v); !proto.Equal(s, p.settings) {
			q.settings = s
		}
	}
	all := q.mesh != p.mesh || q.settings != p.settings || q.sources != p.sources
	return step{plan: q, tasks: d.nodes, all: all}
}

// dirtyOf maps changed objects to what they concern.
func dirtyOf(refs map[state.Ref]struct{}, before, now view) dirty {
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
		case state.KindCluster, state.KindSecrets:
			d.settings = true
		}
	}
	delete(d.nodes, "")
	return d
}

// node looks closer at a node that changed: most often it is one that pulled
// an image, or was seen again, which concerns few others.
func (d *dirty) node(id string, before, now view) {
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
	if (b == nil) != (n == nil) || down(b) != down(n) {
		for _, v := range []view{before, now} {
			for t := range v.TasksOn(id) {
				d.services[t.GetServiceId()] = struct{}{}
			}
		}
	}
}

// spread publishes a plan and wakes the sessions it concerns.
func (t *term) spread(s step) {
	t.plan.Store(s.plan)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.leases.period = periodOf(s.view)
	for id, sess := range t.byNode {
		_, own := s.tasks[id]
		if !own && !s.all {
			continue
		}
		sess.mu.Lock()
		sess.tasksDue = sess.tasksDue || own
		sess.meshDue = sess.meshDue || s.all
		sess.mu.Unlock()
		wake(sess.wake)
	}
	for id := range s.tasks {
		t.settle(s.view, id)
	}
}

// settle ends the session of a node that may not have one: it was removed, or
// is known to be down and has to register to be ready again.
func (t *term) settle(v view, id string) {
	n, ok := v.Node(id)
	if ok && !down(n) {
		return
	}
	t.leases.forget(id)
	if sess := t.byNode[id]; sess != nil {
		sess.kick()
		delete(t.byNode, id)
	}
}

// raiseLowWaterMark computes the low-water mark and wakes the sessions with tasks that wait
// for it. The low-water mark of a leadership never falls: a node that comes back later
// has no part in what was dropped before.
func (t *term) raiseLowWaterMark(index uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	lowWater := t.leases.lowWaterMark(index, time.Now(), func(id string) (uint64, bool) {
		if s := t.byNode[id]; s != nil {
			return s.at(index)
		}
		return 0, false
	})
	if lowWater <= t.lowWater {
		return
	}
	t.lowWater = lowWater
	for _, s := range t.byNode {
		s.mu.Lock()
		due := owed(s.awaited, s.lowWaterSent, lowWater)
		s.lowWaterDue = s.lowWaterDue || due
		s.mu.Unlock()
		if due {
			wake(s.wake)
		}
	}
}
