package port

import (
	"slices"
	"strconv"
	"strings"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// OfNode returns the ports on which the node says that it listens for the
// cluster, each once, ordered. What is no address with a port says nothing.
func OfNode(n *clusterpb.Node) []Key {
	var own []Key
	for _, addr := range []string{n.GetDescription().GetControlAddr(), n.GetRaftAddr()} {
		if number, ok := numberOf(addr); ok {
			own = append(own, TCP(number))
		}
	}
	if number, ok := numberOf(n.GetDescription().GetGossipAddr()); ok {
		own = append(own, TCP(number), UDP(number))
	}
	slices.SortFunc(own, Key.Compare)
	return slices.Compact(own)
}

func numberOf(addr string) (number uint32, ok bool) {
	n, err := strconv.ParseUint(addr[strings.LastIndex(addr, ":")+1:], 10, 16)
	return uint32(n), err == nil && n > 0
}
