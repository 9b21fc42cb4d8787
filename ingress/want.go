package ingress

import (
	"fmt"
	"net/netip"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Want is everything the node's kernel should hold. It is always whole, never
// a difference, and is not changed once handed over.
type Want struct {
	// Self is this node. Its Tasks are not used.
	Self Node
	// Nodes are the other nodes. Those that are down are left out; those
	// without tasks are not, because clients come in by them.
	Nodes []Node
	// Tasks are the tasks on this node that have a network namespace.
	Tasks []Task
	// Ports are all published ports of the cluster, those without an endpoint included.
	Ports []Port
	// Own are ports on which this node itself listens for the cluster. They are
	// never published, whatever Ports say.
	Own []Listener
	// Networks are all networks of the cluster. They do not overlap.
	Networks []Network
	// Port is the UDP port of VXLAN, the same on all nodes; Config.Port if zero.
	Port uint16
	// Index is the index of the cluster state that this was computed from. It
	// is reported once the kernel holds all of this.
	Index uint64
}

// Listener is a port on which a process of the node listens.
type Listener struct {
	Protocol byte // unix.IPPROTO_TCP or IPPROTO_UDP
	Port     uint16
}

// Node is a node of the cluster as the data plane sees it.
type Node struct {
	ID string
	// Index is unique to the node, 1 to MaxNodeIndex. The node's tunnel
	// address, MAC, mark and routing table derive from it.
	Index uint32
	// Underlay is the address that VXLAN frames are sent to. All nodes of a
	// cluster have it in the same family.
	Underlay netip.Addr
	// Addrs are further addresses of the node, if known. A client that calls
	// from one of them, and through another node reaches a task of its own
	// node, is masqueraded, as is one that calls from Underlay.
	Addrs []netip.Addr
	// Attachments are those of the tasks on the node.
	Attachments []Attachment
}

// Network is where addresses of tasks come from.
type Network struct {
	ID string
	// Subnets are its prefixes, IPv4 and IPv6.
	Subnets []netip.Prefix
}

// Attachment is what a task, or the tasks of a node, have in one network.
type Attachment struct {
	// Network is its id.
	Network string
	Addrs   []netip.Addr
}

// Task is a task on this node.
type Task struct {
	ID string
	// Attachments are its networks: at most one IPv4 and one IPv6 address in
	// each. All are on its one device.
	Attachments []Attachment
}

// addrs returns the task's addresses in all networks.
func (t Task) addrs() []netip.Addr { return allAddrs(t.Attachments) }

// taskAddrs returns the addresses of the node's tasks in all networks.
func (n Node) taskAddrs() []netip.Addr { return allAddrs(n.Attachments) }

func allAddrs(attachments []Attachment) (addrs []netip.Addr) {
	for _, a := range attachments {
		addrs = append(addrs, a.Addrs...)
	}
	return addrs
}

// subnets returns the prefixes of all networks.
func (w *Want) subnets() (prefixes []netip.Prefix) {
	for _, n := range w.Networks {
		prefixes = append(prefixes, n.Subnets...)
	}
	return prefixes
}

// Port is a published port.
type Port struct {
	Protocol  byte // unix.IPPROTO_TCP or IPPROTO_UDP
	Published uint16
	// HostMode publishes the port on the nodes of the tasks only. Endpoints
	// are then those on this node; without any, the port is not published here.
	HostMode bool
	// Endpoints are those that should get new connections: healthy and not draining.
	Endpoints []Endpoint
}

// Endpoint is where a task listens. An address that is not valid is one that
// the task does not have.
type Endpoint struct {
	Addr4, Addr6 netip.AddrPort
}

// sound returns the Want without the nodes that no kernel state can be made of,
// and says which: one node's bad claim costs that node alone.
func (w *Want) sound() (*Want, []error) {
	var bad []error
	s := *w
	s.Nodes = nil
	seen := map[uint32]string{w.Self.Index: w.Self.ID}
	for _, n := range w.Nodes {
		if err := w.check(n); err != nil {
			bad = append(bad, err)
			continue
		}
		if other, ok := seen[n.Index]; ok {
			bad = append(bad, fmt.Errorf("nodes %s and %s both have index %d: %w", other, n.ID, n.Index, errdefs.ErrInvalidArgument))
			continue
		}
		seen[n.Index] = n.ID
		s.Nodes = append(s.Nodes, n)
	}
	if len(bad) == 0 {
		return w, nil
	}
	return &s, bad
}

// check refuses a node that cannot be one.
func (w *Want) check(n Node) error {
	switch {
	case n.Index < 1 || n.Index > MaxNodeIndex:
		return fmt.Errorf("node %s: index %d is not in 1 to %d: %w", n.ID, n.Index, MaxNodeIndex, errdefs.ErrInvalidArgument)
	case !n.Underlay.IsValid():
		return fmt.Errorf("node %s: no data-path address: %w", n.ID, errdefs.ErrInvalidArgument)
	case n.Underlay.Unmap().Is4() != w.Self.Underlay.Unmap().Is4():
		return fmt.Errorf("node %s: data-path address %s is of another family than this node's %s: %w",
			n.ID, n.Underlay, w.Self.Underlay, errdefs.ErrInvalidArgument)
	}
	return nil
}

// validate says what no kernel state can be made of.
func (w *Want) validate() error {
	if err := w.check(w.Self); err != nil {
		return err
	}
	for _, p := range w.Ports {
		if !canPublish(p.Protocol) {
			return fmt.Errorf("published port %d: protocol %d is not TCP or UDP: %w", p.Published, p.Protocol, errdefs.ErrInvalidArgument)
		}
	}
	return nil
}

// canPublish reports whether ports of the IP protocol can be published.
func canPublish(protocol byte) bool {
	return protocol == unix.IPPROTO_TCP || protocol == unix.IPPROTO_UDP
}
