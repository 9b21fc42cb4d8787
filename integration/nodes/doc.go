// Package nodes runs real nodes on one machine: a [Rack] is a switch, nodes
// and clients, each a network namespace of its own, joined by a bridge in a
// namespace that is the switch. A [Node] is started, stopped, crashed, powered
// off and partitioned, and tells what it left behind in the kernel.
//
//	mn7-sw: br0 ─┬─ n1  ═ eth0: mn7-n1  10.77.7.1   fd77:0:0:7::1
//	             ├─ n2  ═ eth0: mn7-n2  10.77.7.2   fd77:0:0:7::2
//	             └─ c1  ═ eth0: mn7-c1  10.77.7.101 fd77:0:0:7::65
//
// Nothing of a rack is in the machine's own network namespace. The number in
// its names and addresses is claimed for as long as the rack stands, so racks
// of different processes do not meet, and the remains of one whose process
// died are swept by whoever claims the number next.
//
// Processes enter a namespace with nsenter --net, never with `ip netns exec`,
// which remounts /sys and so hides the cgroups from containerd.
//
// It needs root, iproute2, nftables and util-linux; [New] skips a test where
// they are missing.
package nodes
