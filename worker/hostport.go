package worker

import (
	"fmt"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/worker/task"
)

// The range host ports are chosen from when the task leaves that to the node:
// the upper part of what Linux calls ephemeral, as Docker does.
const firstHostPort, lastHostPort = 49153, 65535

// chooseHostPorts returns the ports of t in host mode with the node's ports
// filled in, given the other tasks on the node and the cluster's mesh.
// AlreadyExists when another task has one that t asks for.
func chooseHostPorts(t *clusterpb.Task, tasks map[string]task.Snapshot, mesh map[portKey]bool) ([]*clusterpb.Port, error) {
	used := make(map[portKey]string)
	for id, other := range tasks {
		if id == t.GetId() || lifecycle.Ended(other.Status.GetState()) {
			continue
		}
		for _, p := range other.Status.GetHostPorts() {
			used[portKey{p.GetProtocol(), p.GetPublished()}] = id
		}
	}
	var chosen []*clusterpb.Port
	for _, p := range t.GetPorts() {
		if p.GetMode() != clusterpb.Port_MODE_HOST {
			continue
		}
		p = proto.CloneOf(p)
		if p.GetPublished() == 0 {
			if p.Published = freePort(p.GetProtocol(), used, mesh); p.GetPublished() == 0 {
				return nil, fmt.Errorf("no host port from %d to %d is free on this node: %w", firstHostPort, lastHostPort, errdefs.ErrResourceExhausted)
			}
		}
		k := portKey{p.GetProtocol(), p.GetPublished()}
		if other := used[k]; other != "" {
			return nil, fmt.Errorf("host port %d is taken on this node by task %s: %w", p.GetPublished(), other, errdefs.ErrAlreadyExists)
		}
		used[k] = t.GetId()
		chosen = append(chosen, p)
	}
	return chosen, nil
}

// freePort returns the lowest port nobody has, or 0.
func freePort(protocol clusterpb.Port_Protocol, used map[portKey]string, mesh map[portKey]bool) uint32 {
	for port := uint32(firstHostPort); port <= lastHostPort; port++ {
		k := portKey{protocol, port}
		if _, taken := used[k]; !taken && !mesh[k] {
			return port
		}
	}
	return 0
}
