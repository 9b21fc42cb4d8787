package ingress

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/muster/muster/ingress/namespace"
)

func TestNodeAddrs(t *testing.T) {
	l := newLab(t, 1, false)
	l.apply()
	l.task(0, "a")
	ns := l.nodes[0].netns
	for _, args := range []string{
		"addr add 192.0.2.9/24 dev e0", "addr add 2001:db8::9/64 dev e0", "addr add 169.254.7.7/16 dev e0",
		"addr add 198.51.100.7/32 dev lo", "addr add 10.9.9.9/32 dev mu0",
	} {
		l.ip(ns, "%s", args)
	}
	var got []netip.Addr
	err := namespace.In(ns, func() (err error) {
		got, err = NodeAddrs(l.nodes[0].Underlay)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var want []netip.Addr
	for _, s := range []string{"192.0.2.9", "198.51.100.7", "2001:db8::9", "fd77::101"} {
		want = append(want, netip.MustParseAddr(s))
	}
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); d != "" {
		t.Errorf("addresses (-want +got):\n%s", d)
	}
}
