package node

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/muster/muster/ingress/gossip"
	"github.com/muster/muster/integration/needs"
)

// TestHostWithoutIPv6: a node that listens on all addresses, by default or since IPv6 was there,
// listens on those that the host has, for control and for gossip.
func TestHostWithoutIPv6(t *testing.T) {
	if !needs.WithoutIPv6(t) {
		return
	}
	h := Host{Interfaces: map[string][]netip.Addr{"eth0": {netip.MustParseAddr("127.0.0.1")}}}
	s, err := addresses(h, "127.0.0.1:1", "", "")
	if err != nil {
		t.Fatal(err)
	}
	s.Listen = netip.AddrPortFrom(s.Listen.Addr(), 0) // any that is free
	l, err := net.Listen("tcp", s.Listen.String())
	if err != nil {
		t.Fatal(err)
	}
	free := l.Addr().(*net.TCPAddr).Port
	l.Close()

	g, err := gossip.New(gossip.Config{
		ID: "n", Label: "cluster", Keys: [][]byte{make([]byte, 32)}, BindAddr: s.listenHost(), BindPort: free, Advertise: "127.0.0.1",
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // it listens, and leaves again
	if err := g.Run(ctx); err != nil {
		t.Error(err)
	}

	s.Listen = netip.MustParseAddrPort("[fd00::1]:2377")
	_, err = net.Listen("tcp", s.Listen.String())
	if err == nil || !strings.Contains(explainListen(s, err).Error(), "[fd00::1]:2377: this host has no IPv6") {
		t.Errorf("an address of IPv6: %v", err)
	}
}
