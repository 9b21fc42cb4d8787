// Package ingress is the node's data plane: the routing mesh that answers on
// published ports, the overlay between nodes, and the attachment of tasks to
// both, all held by the kernel.
//
// A [Plane] is given the whole of what the kernel should hold as a [Want],
// computes from it, purely, the desired kernel state (plan.go), and makes it
// so on every change and every 30 seconds, repairing and counting what
// drifted. The executor attaches tasks to it by [Plane.Attach] before it
// starts them. DESIGN.md draws the path of a packet.
package ingress
