package edit

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/pod"
)

// The functions below return a part of a spec, making it where it is unset.

func task(s *Spec) *clusterpb.TaskSpec { return part(&s.Task) }

// container is the main one: what flags about a container mean.
func container(s *Spec) *clusterpb.ContainerSpec {
	t := task(s)
	if pod.Main(t) == nil {
		t.Containers = []*clusterpb.ContainerSpec{{}}
	}
	return pod.Main(t)
}

func limits(s *Spec) *clusterpb.Resources { return part(&task(s).Limits) }

func reservations(s *Spec) *clusterpb.Resources { return part(&task(s).Reservations) }

func restartOf(s *Spec) *clusterpb.RestartPolicy { return part(&task(s).Restart) }

func placementOf(s *Spec) *clusterpb.Placement { return part(&task(s).Placement) }

func healthOf(s *Spec) *clusterpb.HealthCheck { return part(&container(s).Health) }

func dns(s *Spec) *clusterpb.DNSConfig { return part(&task(s).Dns) }

func updateOf(s *Spec) *clusterpb.UpdateConfig { return part(&s.Update) }

func rollbackOf(s *Spec) *clusterpb.UpdateConfig { return part(&s.Rollback) }

func part[T any](p **T) *T {
	if *p == nil {
		*p = new(T)
	}
	return *p
}

// parts are the parts of a spec that were unset before it was edited.
type parts struct {
	update, rollback, limits, reservations, restart, placement, health, dns bool
}

func unsetParts(s *Spec) parts {
	t, c := s.GetTask(), pod.Main(s.GetTask())
	return parts{
		update: s.GetUpdate() == nil, rollback: s.GetRollback() == nil,
		limits: t.GetLimits() == nil, reservations: t.GetReservations() == nil,
		restart: t.GetRestart() == nil, placement: t.GetPlacement() == nil,
		health: c.GetHealth() == nil, dns: t.GetDns() == nil,
	}
}

// restore unsets parts again that edits made and left empty. An empty part
// means the same as none, but would count as a change that replaces tasks.
func (p parts) restore(s *Spec) {
	t, c := task(s), container(s)
	drop(p.update, &s.Update)
	drop(p.rollback, &s.Rollback)
	drop(p.limits, &t.Limits)
	drop(p.reservations, &t.Reservations)
	drop(p.restart, &t.Restart)
	drop(p.placement, &t.Placement)
	drop(p.health, &c.Health)
	drop(p.dns, &t.Dns)
}

func drop[T any, P interface {
	*T
	proto.Message
}](was bool, p *P) {
	if was && proto.Size(*p) == 0 {
		*p = nil
	}
}

// put sets a key of a map that may be nil.
func put(m *map[string]string, pair [2]string) {
	if *m == nil {
		*m = make(map[string]string)
	}
	(*m)[pair[0]] = pair[1]
}

// include appends v to list unless it is there.
func include(list *[]string, v string) {
	if !slices.Contains(*list, v) {
		*list = append(*list, v)
	}
}

// exclude removes v from list.
func exclude(list *[]string, v string) {
	*list = slices.DeleteFunc(*list, func(s string) bool { return s == v })
}

// keyOf is KEY of KEY=VALUE.
func keyOf(entry string) string {
	key, _, _ := strings.Cut(entry, "=")
	return key
}
