package worker

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/muster/muster/ingress"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/network"
	"github.com/muster/muster/proto/port"
	"github.com/muster/muster/worker/task"
)

// wantOf returns what the node's kernel should hold: what managers say, with
// what the node itself knows better, namely its own tasks. It is nil for a
// node without an index: before a manager has ever told it who it is, and once
// it is removed from the cluster. own are the ports on which the node itself
// listens beside that of the traffic between nodes.
func wantOf(h *held, tasks map[string]task.Snapshot, nodeID, dataAddr string, own ...port.Key) *ingress.Want {
	if h.settings.GetSelfIndex() == 0 {
		return nil
	}
	w := &ingress.Want{
		Self:  ingress.Node{ID: nodeID, Index: h.settings.GetSelfIndex(), Underlay: parseAddr(dataAddr)},
		Port:  uint16(h.settings.GetDataPathPort()),
		Index: h.index,
	}
	for _, key := range h.own(own) {
		w.Own = append(w.Own, ingress.Listener{Protocol: port.IPProtocol(key.Protocol), Port: uint16(key.Number)})
	}
	for _, n := range h.settings.GetNetworks() {
		w.Networks = append(w.Networks, ingress.Network{ID: n.GetId(), Subnets: parsePrefixes(n.GetSubnets())})
	}
	for _, id := range slices.Sorted(maps.Keys(h.peers)) {
		p := h.peers[id]
		w.Nodes = append(w.Nodes, ingress.Node{
			ID: id, Index: p.GetIndex(), Underlay: parseAddr(p.GetDataAddr()), Addrs: parseAddrs(p.GetAddresses()),
			Attachments: Attachments(p.GetAttachments()),
		})
	}
	for _, id := range slices.Sorted(maps.Keys(tasks)) {
		if t := tasks[id]; t.Attached {
			w.Tasks = append(w.Tasks, ingress.Task{ID: id, Attachments: Attachments(t.Task.GetAttachments())})
		}
	}
	w.Ports = append(meshPorts(h, tasks, nodeID), hostPorts(tasks)...)
	return w
}

// meshPorts returns the ports that every node answers on. Of this node's
// endpoints only those that serve right now are in: a task that stops or
// turned unhealthy leaves before managers have heard of it.
func meshPorts(h *held, tasks map[string]task.Snapshot, nodeID string) (ports []ingress.Port) {
	for _, p := range slices.SortedFunc(maps.Values(h.ports), port.Compare) {
		meshed := ingress.Port{Protocol: port.IPProtocol(p.GetProtocol()), Published: uint16(p.GetPublished())}
		for _, e := range p.GetEndpoints() {
			if e.GetNodeId() == nodeID && !tasks[e.GetTaskId()].Serving {
				continue
			}
			meshed.Endpoints = append(meshed.Endpoints, endpoint(e.GetAddresses(), e.GetTarget()))
		}
		ports = append(ports, meshed)
	}
	return ports
}

// hostPorts returns the ports that only this node answers on.
func hostPorts(tasks map[string]task.Snapshot) (ports []ingress.Port) {
	found := make(map[port.Key]*ingress.Port)
	var keys []port.Key
	for _, id := range slices.Sorted(maps.Keys(tasks)) {
		t := tasks[id]
		if !t.Serving {
			continue
		}
		for _, p := range t.Status.GetHostPorts() {
			k := port.Of(p)
			if found[k] == nil {
				found[k] = &ingress.Port{Protocol: port.IPProtocol(k.Protocol), Published: uint16(k.Number), HostMode: true}
				keys = append(keys, k)
			}
			found[k].Endpoints = append(found[k].Endpoints, endpoint(network.Answering(t.Task.GetAttachments()), p.GetTarget()))
		}
	}
	for _, k := range keys {
		ports = append(ports, *found[k])
	}
	return ports
}

// Attachments returns attachments in the data plane's words.
func Attachments(list []*clusterpb.Attachment) (attachments []ingress.Attachment) {
	for _, a := range list {
		attachments = append(attachments, ingress.Attachment{Network: a.GetNetworkId(), Addrs: parseAddrs(a.GetAddresses())})
	}
	return attachments
}

func endpoint(addresses []string, target uint32) (e ingress.Endpoint) {
	for _, a := range parseAddrs(addresses) {
		if at := netip.AddrPortFrom(a, uint16(target)); a.Is4() {
			e.Addr4 = at
		} else {
			e.Addr6 = at
		}
	}
	return e
}

// parseAddr returns the address, or the invalid one, which the data plane
// refuses by name.
func parseAddr(s string) netip.Addr {
	a, _ := netip.ParseAddr(s)
	return a.Unmap()
}

func parsePrefixes(list []string) (prefixes []netip.Prefix) {
	for _, s := range list {
		if p, err := netip.ParsePrefix(s); err == nil {
			prefixes = append(prefixes, p)
		}
	}
	return prefixes
}

func parseAddrs(list []string) (addrs []netip.Addr) {
	for _, s := range list {
		if a := parseAddr(s); a.IsValid() {
			addrs = append(addrs, a)
		}
	}
	return addrs
}
