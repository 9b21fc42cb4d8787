package ingress

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/muster/muster/ingress/conntrack"
	"github.com/muster/muster/ingress/ruleset"
)

// The kernel's TCP states in which data may still flow (linux/netfilter/nf_conntrack_tcp.h).
const (
	tcpSynSent   = 1
	tcpCloseWait = 5
	tcpTimeWait  = 7 // and above: over; a new connection takes the place of such a flow
)

// Connections counts the TCP connections that still lead to the addresses of a
// task on this node, from wherever they came in. It is what a drain waits to
// become zero. UDP has no connections and is not counted. Where the node has
// many flows it takes seconds, see census.
func (p *Plane) Connections(ctx context.Context, addrs []netip.Addr) (int, error) {
	return p.census.count(ctx, addrs)
}

// connections counts the TCP connections to each of the addresses: those whose
// replies come from there, whether the connection was translated here, by
// another node, or not at all. cost is what that took of a core.
func connections(in func(func(*kernel) error) error, addrs []netip.Addr) (n map[netip.Addr]int, cost time.Duration, err error) {
	n = make(map[netip.Addr]int)
	runtime.LockOSThread() // its time is measured
	defer runtime.UnlockOSThread()
	err = in(func(*kernel) error {
		began := threadTime()
		defer func() { cost = threadTime() - began }()
		return eachFlow(conntrack.Filter{Protocol: unix.IPPROTO_TCP, Servers: addrs}, func(f *conntrack.Flow) {
			if connected(f) {
				n[f.Server.Addr()]++
			}
		})
	})
	return n, cost, err
}

// threadTime is how long the calling thread has used a core.
func threadTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// connected reports whether the flow is a TCP connection that data may still
// flow on.
func connected(f *conntrack.Flow) bool { return f.TCPState >= tcpSynSent && f.TCPState <= tcpCloseWait }

// eachFlow calls do for each flow that matches. The flow is good until do returns.
func eachFlow(f conntrack.Filter, do func(*conntrack.Flow)) error {
	c, err := conntrack.Dial()
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Each(f, do)
}

// cutStaleFlows makes the kernel forget connections that lead nowhere since it
// holds w and no longer old, so that clients are told at once instead of waiting
// for answers. With old nil it looks at all of them.
func (k *kernel) cutStaleFlows(old, w *Want) error {
	local, err := localAddrs(k)
	if err != nil {
		return err
	}
	now := newStale(w, local)
	filters := []conntrack.Filter{{}}
	if old != nil {
		filters = newStale(old, local).movedTo(now)
	}
	c, err := conntrack.Dial()
	if err != nil {
		return err
	}
	defer c.Close()
	for _, f := range filters {
		var flows []conntrack.Flow
		err := c.Each(f, func(f *conntrack.Flow) {
			if now.is(f) {
				flows = append(flows, f.Keep())
			}
		})
		if err != nil {
			return err
		}
		for _, f := range flows {
			if err := c.Delete(f); err != nil && !errors.Is(err, unix.ENOENT) {
				return err
			}
		}
	}
	return nil
}

// stale decides which flows lead nowhere.
type stale struct {
	subnets   []netip.Prefix
	tasks     map[netip.Addr]bool
	endpoints map[portKey]map[netip.AddrPort]bool
	local     map[netip.Addr]bool
}

func newStale(w *Want, local map[netip.Addr]bool) stale {
	s := stale{
		subnets: w.subnets(), tasks: make(map[netip.Addr]bool), local: local,
		endpoints: make(map[portKey]map[netip.AddrPort]bool),
	}
	for _, t := range w.Tasks {
		for _, a := range t.addrs() {
			s.tasks[a.Unmap()] = true
		}
	}
	for _, n := range w.Nodes {
		for _, a := range n.taskAddrs() {
			s.tasks[a.Unmap()] = true
		}
	}
	for _, v6 := range []bool{false, true} {
		for key, list := range published(w, v6) {
			for _, e := range list {
				if s.endpoints[key] == nil {
					s.endpoints[key] = make(map[netip.AddrPort]bool)
				}
				s.endpoints[key][e] = true
			}
		}
	}
	return s
}

// movedTo returns which flows may lead elsewhere than they should since what was
// s is now: those to tasks that are gone, of UDP those to what is an endpoint no
// more, and those to a port that was not published before.
func (s stale) movedTo(now stale) (filters []conntrack.Filter) {
	gone := make(set[netip.Addr])
	for a := range s.tasks {
		if !now.tasks[a] {
			gone.add(a)
		}
	}
	if len(gone) > 0 {
		filters = append(filters, conntrack.Filter{Servers: slices.Collect(maps.Keys(gone))})
	}
	left := make(set[netip.Addr])
	for key, endpoints := range s.endpoints {
		for e := range endpoints {
			_, isGone := gone[e.Addr()]
			if key.proto == unix.IPPROTO_UDP && !now.endpoints[key][e] && !isGone {
				left.add(e.Addr())
			}
		}
	}
	if len(left) > 0 {
		filters = append(filters, conntrack.Filter{Protocol: unix.IPPROTO_UDP, Servers: slices.Collect(maps.Keys(left))})
	}
	return append(filters, now.newPorts(s)...)
}

// newPorts returns the UDP flows of ports that have endpoints and had none
// before: those of each port where they are few, or else of all.
func (s stale) newPorts(before stale) (filters []conntrack.Filter) {
	const few = 2
	for key, endpoints := range s.endpoints {
		if key.proto == unix.IPPROTO_UDP && len(endpoints) > 0 && len(before.endpoints[key]) == 0 {
			filters = append(filters, conntrack.Filter{Protocol: unix.IPPROTO_UDP, Port: key.port})
		}
	}
	if len(filters) > few {
		return []conntrack.Filter{{Protocol: unix.IPPROTO_UDP}}
	}
	return filters
}

// is reports whether the flow leads to a task that is gone; or, for UDP,
// whose flows never end by themselves while the client goes on, to one that
// should get no more, or to the node itself from before the port was published.
func (s stale) is(f *conntrack.Flow) bool {
	if over(f) {
		return false
	}
	server, called := f.Server.Addr(), f.Called.Addr()
	udp := f.Protocol == unix.IPPROTO_UDP
	endpoints := s.endpoints[portKey{f.Protocol, f.Called.Port()}]
	if s.isTaskAddr(server) {
		return !s.tasks[server] || udp && s.local[called] && !endpoints[f.Server]
	}
	return udp && len(endpoints) > 0 && s.local[called] && called == server
}

// over reports whether the flow is one of TCP that has ended. There are many
// thousands of these where clients make connections for each request, and by
// the time they were deleted some would be of living ones: deletion goes by
// the addresses and ports, which clients use again.
func over(f *conntrack.Flow) bool { return f.TCPState >= tcpTimeWait }

func (s stale) isTaskAddr(a netip.Addr) bool {
	for _, p := range s.subnets {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

func localAddrs(k *kernel) (map[netip.Addr]bool, error) {
	list, err := addrsOf(k.nl, nil)
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	local := make(map[netip.Addr]bool)
	for _, a := range list {
		local[prefix(a.IPNet).Addr()] = true
	}
	return local, nil
}

// movesFlows reports whether the changes take away a task or an endpoint, or
// publish a port, so that flows may lead where they should not.
func movesFlows(have, want *state, tables tableChanges) bool {
	if len(have.routes.minus(want.routes)) > 0 {
		return true
	}
	for _, c := range tables {
		if c.Rebuild != "" || len(c.DelElements[ruleset.Endpoints]) > 0 || len(c.DelElements[ruleset.Hairpin]) > 0 || len(c.AddElements[ruleset.Ports]) > 0 {
			return true
		}
	}
	return false
}
