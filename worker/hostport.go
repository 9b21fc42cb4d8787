package worker

import (
	"fmt"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/port"
	"github.com/muster/muster/worker/task"
)

// chooseHostPorts returns the ports of t in host mode with the node's ports
// filled in, given the other tasks on the node, the cluster's mesh, and own, the
// ports on which the node itself listens for the cluster. AlreadyExists when
// another task, or the node, has one that t asks for.
func chooseHostPorts(
	t *clusterpb.Task, tasks map[string]task.Snapshot, mesh map[port.Key]*dispatchpb.MeshPort, own []port.Key,
) ([]*clusterpb.Port, error) {
	used := make(map[port.Key]string) // by whom
	for _, key := range own {
		used[key] = "the cluster"
	}
	for id, other := range tasks {
		if id == t.GetId() || lifecycle.Ended(other.Status.GetState()) {
			continue
		}
		for _, p := range other.Status.GetHostPorts() {
			used[port.Of(p)] = "task " + id
		}
	}
	var chosen []*clusterpb.Port
	for _, p := range t.GetPorts() {
		if !port.HasHostMode(p) {
			continue
		}
		p = proto.CloneOf(p)
		if p.GetPublished() == 0 {
			if p.Published = freePort(port.Protocol(p), used, mesh); p.GetPublished() == 0 {
				return nil, fmt.Errorf("no host port of %s is free on this node: %w", port.HostRange(), errdefs.ErrResourceExhausted)
			}
		}
		k := port.Of(p)
		if other := used[k]; other != "" {
			return nil, fmt.Errorf("host port %d is taken on this node by %s: %w", p.GetPublished(), other, errdefs.ErrAlreadyExists)
		}
		used[k] = "task " + t.GetId()
		chosen = append(chosen, p)
	}
	return chosen, nil
}

// freePort returns the lowest port nobody has, or 0.
func freePort(protocol clusterpb.Port_Protocol, used map[port.Key]string, mesh map[port.Key]*dispatchpb.MeshPort) uint32 {
	for n := port.HostRange().First; n <= port.HostRange().Last; n++ {
		k := port.Key{Protocol: protocol, Number: n}
		if _, taken := used[k]; !taken && mesh[k] == nil {
			return n
		}
	}
	return 0
}
