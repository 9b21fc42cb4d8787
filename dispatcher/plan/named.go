package plan

import (
	"maps"
	"slices"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/pod"
)

// named are the images that services, their histories and tasks name: digests,
// and the full names of those that were not resolved. It is immutable.
type named struct {
	byService map[string][]string
	count     map[string]int // how many services name it
}

// has reports whether anything names the content, or what is called so.
func (n *named) has(name, digest string) bool { return n.count[digest] > 0 || n.count[name] > 0 }

// next returns what is named after the services changed, which is n itself if
// they name the same as before.
func (n *named) next(v View, services map[string]struct{}) *named {
	news := make(map[string][]string)
	for id := range services {
		if now := namedBy(v, id); !slices.Equal(now, n.byService[id]) {
			news[id] = now
		}
	}
	if len(news) == 0 {
		return n
	}
	next := &named{byService: maps.Clone(n.byService), count: maps.Clone(n.count)}
	if next.byService == nil {
		next.byService, next.count = make(map[string][]string), make(map[string]int)
	}
	for id, now := range news {
		next.replace(id, now)
	}
	return next
}

func (n *named) replace(id string, now []string) {
	for _, what := range n.byService[id] {
		if n.count[what]--; n.count[what] == 0 {
			delete(n.count, what)
		}
	}
	for _, what := range now {
		n.count[what]++
	}
	n.byService[id] = now
	if len(now) == 0 {
		delete(n.byService, id)
	}
}

// namedBy returns what a service names, in order.
func namedBy(v View, id string) []string {
	refs := make(map[string]struct{})
	add := func(spec *clusterpb.TaskSpec, resolved []*clusterpb.ResolvedImage) {
		for _, c := range spec.GetContainers() {
			refs[pod.Pinned(resolved, c.GetImage())] = struct{}{}
		}
	}
	if svc, ok := v.Service(id); ok {
		add(svc.GetSpec().GetTask(), svc.GetImages())
		for _, r := range svc.GetHistory() {
			add(r.GetSpec().GetTask(), r.GetImages())
		}
	}
	for t := range v.TasksOf(id) {
		if !lifecycle.Ended(t.GetStatus().GetState()) {
			add(t.GetSpec(), t.GetImages())
		}
	}
	var list []string
	for ref := range refs {
		name, digest := nameAndDigest(ref)
		if digest != "" {
			name = digest
		}
		list = append(list, name)
	}
	slices.Sort(list)
	return slices.Compact(list)
}
