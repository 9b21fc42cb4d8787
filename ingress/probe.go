package ingress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/muster/muster/ingress/namespace"
	"github.com/muster/muster/ingress/ruleset"
)

const (
	// smallEcho is the size of a packet that every path carries, in bytes.
	smallEcho = 100
	// dialTimeout bounds how long a task may take to accept a connection.
	dialTimeout = 2 * time.Second
	// dials is how many tasks are asked at once, and maxFindings how many lines are told.
	dials       = 16
	maxFindings = 50
)

// Probe asks along the ways that requests take and lists, for people, what is
// wrong: other nodes that do not answer through the tunnel, or not with
// packets of full size, tasks there that accept no connection, devices that
// do not forward, and rules of others that drop what is forwarded. It changes
// nothing and takes some seconds where there is no answer.
func (p *Plane) Probe(ctx context.Context) []string {
	w := p.want.Load()
	if w == nil {
		return nil
	}
	var lines []string
	probe := prober{p, w}
	for _, look := range []func(context.Context) ([]string, error){probe.tunnels, probe.tasks, probe.devices} {
		found, err := look(ctx)
		if err != nil {
			found = append(found, err.Error())
		}
		lines = append(lines, found...)
	}
	for _, look := range []func(context.Context) error{p.Obstructed, p.Shadowed} {
		if err := look(ctx); err != nil {
			lines = append(lines, err.Error())
		}
	}
	if more := len(lines) - maxFindings; more > 0 {
		lines = append(lines[:maxFindings], fmt.Sprintf("and %d more", more))
	}
	return lines
}

// prober asks along the ways of what a plane holds.
type prober struct {
	*Plane
	want *Want
}

// tunnels asks each node for an answer through the tunnel.
func (p prober) tunnels(ctx context.Context) (lines []string, err error) {
	w, mtu := p.want, int(p.mtu.Load())
	if mtu == 0 {
		return nil, nil // there is no tunnel yet
	}
	var fits, full []bool
	err = namespace.In(p.cfg.Netns, func() (err error) {
		if fits, err = tunnelsCarry(ctx, w, w.Nodes, smallEcho); err == nil {
			full, err = tunnelsCarry(ctx, w, chosen(w.Nodes, fits), mtu)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, n := range chosen(w.Nodes, not(fits)) {
		lines = append(lines, fmt.Sprintf("node %s does not answer through the tunnel: UDP port %d is closed on the way between %s and it, or open to packets of the state NEW alone, which these are not (UNTRACKED), or its data plane does not work",
			n.at(), vxlanPort(w, p.cfg), w.Self.Underlay.Unmap()))
	}
	for _, n := range chosen(chosen(w.Nodes, fits), not(full)) {
		lines = append(lines, fmt.Sprintf("node %s answers through the tunnel, but not to packets of %d bytes: the way there carries less than the %d bytes of this node's device, so its MTU has to be lower",
			n.at(), mtu, mtu+overhead(w.Self.Underlay)))
	}
	return lines, nil
}

// chosen returns those for which yes holds.
func chosen(nodes []Node, yes []bool) (list []Node) {
	for i, n := range nodes {
		if yes[i] {
			list = append(list, n)
		}
	}
	return list
}

func not(list []bool) []bool {
	inverse := make([]bool, len(list))
	for i, v := range list {
		inverse[i] = !v
	}
	return inverse
}

// tunnelsCarry reports of each node whether it answers packets of a size, in
// bytes. Those that do not are asked once more at an address that no task has:
// the "unreachable" of their kernels comes back by the same way, also where
// their own rules drop what is for the node itself. That is the second choice
// because kernels send few of these a second.
func tunnelsCarry(ctx context.Context, w *Want, nodes []Node, size int) ([]bool, error) {
	var echoes []echo
	for _, n := range nodes {
		echoes = append(echoes, echo{to: tunnel4(n.Index), size: size})
	}
	carry, err := answered(ctx, echoes)
	to, ok := unusedAddr(w)
	if err != nil || !ok || !slices.Contains(carry, false) {
		return carry, err
	}
	var again []echo
	var which []int
	for i, n := range nodes {
		if !carry[i] {
			again, which = append(again, echo{to: to, mark: nodeMark(n.Index), size: size}), append(which, i)
		}
	}
	late, err := answered(ctx, again)
	for i, ok := range late {
		carry[which[i]] = ok
	}
	return carry, err
}

// unusedAddr returns the last IPv4 address of the first network, which no task gets.
func unusedAddr(w *Want) (netip.Addr, bool) {
	list := subnets(w, false)
	if len(list) == 0 {
		return netip.Addr{}, false
	}
	a := list[0].Addr().As4()
	for bit := list[0].Bits(); bit < 32; bit++ {
		a[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(a), true
}

// at names a node by the address that people know.
func (n Node) at() string { return fmt.Sprintf("%s (%s)", n.Underlay.Unmap(), n.ID) }

// tasks connects to one published task of each node.
func (p prober) tasks(ctx context.Context) (lines []string, err error) {
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(dials)
	for _, n := range p.want.Nodes {
		e, published, ok := endpointOn(p.want, n)
		if !ok {
			continue
		}
		g.Go(func() error {
			if err := p.dial(ctx, e); err != nil {
				mu.Lock()
				defer mu.Unlock()
				lines = append(lines, fmt.Sprintf("task %s of node %s, published at %d/tcp, does not answer: %v; that node may drop what it forwards, ask \"muster node doctor\" there",
					e.Addr(), n.at(), published, err))
			}
			return nil
		})
	}
	err = g.Wait()
	slices.Sort(lines)
	return lines, err
}

// endpointOn returns a published TCP endpoint of the node's tasks.
func endpointOn(w *Want, n Node) (e netip.AddrPort, published uint16, ok bool) {
	addrs := n.taskAddrs()
	for _, port := range w.Ports {
		for _, e := range port.Endpoints {
			if port.Protocol == unix.IPPROTO_TCP && slices.Contains(addrs, e.Addr4.Addr()) {
				return e.Addr4, port.Published, true
			}
		}
	}
	return netip.AddrPort{}, 0, false
}

// dial connects from this node. A task that refuses answers as well.
func (p prober) dial(ctx context.Context, to netip.AddrPort) error {
	return namespace.In(p.cfg.Netns, func() error {
		conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", to.String())
		if errors.Is(err, unix.ECONNREFUSED) {
			return nil
		}
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// devices looks at the devices that clients may come in by.
func (p prober) devices(context.Context) (lines []string, err error) {
	err = p.in(func(k *kernel) error {
		links, err := whole(k.nl.LinkList)
		if err != nil {
			return fmt.Errorf("list devices: %w", err)
		}
		addrs, err := addrsOf(k.nl, nil)
		if err != nil {
			return fmt.Errorf("list addresses: %w", err)
		}
		families := make(map[int]map[string]bool) // of the addresses of each device
		for _, a := range addrs {
			if ip := prefix(a.IPNet).Addr(); ip.IsGlobalUnicast() {
				if families[a.LinkIndex] == nil {
					families[a.LinkIndex] = make(map[string]bool)
				}
				families[a.LinkIndex][map[bool]string{true: "ipv4", false: "ipv6"}[ip.Is4()]] = true
			}
		}
		for _, l := range links {
			name := l.Attrs().Name
			for _, family := range []string{"ipv4", "ipv6"} {
				path := "net/" + family + "/conf/" + name + "/forwarding"
				if v, err := readSysctl(path); err == nil && v == "0" && families[l.Attrs().Index][family] && name != "lo" {
					lines = append(lines, fmt.Sprintf("device %s does not forward: clients that come in by it reach no task; set %s to 1",
						name, strings.ReplaceAll(path, "/", ".")))
				}
			}
		}
		return nil
	})
	return lines, err
}

// Obstructed returns which rules of others drop what this node forwards, or
// nil. Only where a rule may, packets are sent to find out whether it does.
func (p *Plane) Obstructed(ctx context.Context) error {
	if p.mtu.Load() == 0 {
		return nil // nothing is forwarded yet
	}
	var droppers []ruleset.Dropper
	err := namespace.In(p.cfg.Netns, func() (err error) {
		droppers, err = ruleset.Droppers(nftables.ChainHookForward)
		return err
	})
	if err != nil || len(droppers) == 0 {
		return err
	}
	lost, err := forwardingLost(ctx, p)
	if err != nil || !slices.Contains(lost[:], true) {
		return err
	}
	var names []string
	for _, d := range droppers {
		concerns := map[nftables.TableFamily]bool{nftables.TableFamilyIPv4: lost[0], nftables.TableFamilyIPv6: lost[1], nftables.TableFamilyINet: true}
		if concerns[d.Family] {
			names = append(names, d.String())
		}
	}
	return fmt.Errorf("%s of nftables drops what this node forwards: let it accept what comes from and goes to the devices %s and %s*; docs/networking.md has the commands",
		strings.Join(names, ", "), Overlay, TaskLinkPrefix)
}

// probeEnds are the two between which is tried whether packets are forwarded.
// No other addresses on a node are like theirs.
func probeEnds() (ends [2]Task) {
	for i := range ends {
		addrs := []netip.Addr{
			netip.AddrFrom4([4]byte{169, 254, 1, byte(2 + i)}),
			netip.MustParseAddr(fmt.Sprintf("fd6d:7573:7465:7201::%d", 2+i)),
		}
		ends[i] = Task{ID: fmt.Sprintf("probe-%d", 1+i), Attachments: []Attachment{{Addrs: addrs}}}
	}
	return ends
}

// forwardingLost sends packets between two network namespaces that are
// attached as tasks are, and reports of IPv4 and IPv6 whether they get lost.
func forwardingLost(ctx context.Context, p *Plane) (lost [2]bool, err error) {
	release, err := alone(ctx, p) // one at a time has these ends
	if err != nil {
		return lost, err
	}
	defer release()
	dir, err := os.MkdirTemp("", "muster-probe-")
	if err != nil {
		return lost, fmt.Errorf("make a place for network namespaces: %w", err)
	}
	defer os.Remove(dir)
	ipv6 := false
	ends := probeEnds()
	for _, t := range ends {
		netns := filepath.Join(dir, t.ID)
		if err := namespace.Create(netns); err != nil {
			return lost, err
		}
		defer namespace.Delete(netns) //nolint:errcheck // it goes with the machine at the latest
		err := p.in(func(k *kernel) error {
			ipv6 = k.ipv6 && int(p.mtu.Load()) >= leastMTU6
			return k.attach(ctx, t, netns, int(p.mtu.Load()))
		})
		defer p.in(func(k *kernel) error { return k.deleteLink(taskLink(t.ID)) }) //nolint:errcheck // it goes with the namespace
		if err != nil {
			return lost, fmt.Errorf("attach an end to try forwarding: %w", err)
		}
	}
	err = namespace.In(filepath.Join(dir, ends[0].ID), func() error {
		for i, to := range ends[1].addrs() {
			if to.Is6() && !ipv6 {
				continue
			}
			got, err := answered(ctx, []echo{{to: to, size: smallEcho}})
			if err != nil {
				return err
			}
			lost[i] = !got[0]
		}
		return nil
	})
	return lost, err
}
