package ingress

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/ti-mo/conntrack"
	"golang.org/x/sys/unix"

	"github.com/muster/muster/ingress/ruleset"
)

// conntrackBuffer holds a dump's messages while we are busy, in bytes.
const conntrackBuffer = 4 << 20

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

// servers returns where the replies of each TCP connection of a kernel come from, which is
// a task whether the connection was translated here, by another node, or not
// at all.
func servers(in func(func(*kernel) error) error) (all []netip.Addr, err error) {
	err = in(func(*kernel) error {
		flows, err := listFlows()
		for _, f := range flows {
			if connected(f) {
				all = append(all, f.TupleReply.IP.SourceAddress)
			}
		}
		return err
	})
	return all, err
}

// connected reports whether the flow is a TCP connection that data may still
// flow on.
func connected(f conntrack.Flow) bool {
	tcp := f.ProtoInfo.TCP
	return tcp != nil && tcp.State >= tcpSynSent && tcp.State <= tcpCloseWait
}

// cutStaleFlows makes the kernel forget connections that lead nowhere, so
// that clients are told at once instead of waiting for answers.
func (k *kernel) cutStaleFlows(w *Want) error {
	local, err := localAddrs(k)
	if err != nil {
		return err
	}
	flows, err := listFlows()
	if err != nil {
		return err
	}
	c, err := conntrack.Dial(nil)
	if err != nil {
		return fmt.Errorf("open conntrack: %w", err)
	}
	defer c.Close()
	stale := newStale(w, local)
	for _, f := range flows {
		if !stale.is(f) {
			continue
		}
		if err := c.Delete(f); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("delete the flow to %s: %w", f.TupleReply.IP.SourceAddress, err)
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

// is reports whether the flow leads to a task that is gone; or, for UDP,
// whose flows never end by themselves while the client goes on, to one that
// should get no more, or to the node itself from before the port was published.
func (s stale) is(f conntrack.Flow) bool {
	if over(f) {
		return false
	}
	server := f.TupleReply.IP.SourceAddress.Unmap()
	called := f.TupleOrig.IP.DestinationAddress.Unmap()
	udp := f.TupleOrig.Proto.Protocol == unix.IPPROTO_UDP
	endpoints := s.endpoints[portKey{f.TupleOrig.Proto.Protocol, f.TupleOrig.Proto.DestinationPort}]
	if s.isTaskAddr(server) {
		return !s.tasks[server] ||
			udp && s.local[called] && !endpoints[netip.AddrPortFrom(server, f.TupleReply.Proto.SourcePort)]
	}
	return udp && len(endpoints) > 0 && s.local[called] && called == server
}

// over reports whether the flow is one of TCP that has ended. There are many
// thousands of these where clients make connections for each request, and by
// the time they were deleted some would be of living ones: deletion goes by
// the addresses and ports, which clients use again.
func over(f conntrack.Flow) bool {
	tcp := f.ProtoInfo.TCP
	return tcp != nil && tcp.State >= tcpTimeWait
}

func (s stale) isTaskAddr(a netip.Addr) bool {
	for _, p := range s.subnets {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

func listFlows() ([]conntrack.Flow, error) {
	c, err := conntrack.Dial(nil)
	if err != nil {
		return nil, fmt.Errorf("open conntrack: %w", err)
	}
	defer c.Close()
	if err := c.SetReadBuffer(conntrackBuffer); err != nil {
		return nil, fmt.Errorf("open conntrack: %w", err)
	}
	flows, err := c.Dump(nil)
	if err != nil {
		return nil, fmt.Errorf("list flows: %w", err)
	}
	return flows, nil
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
