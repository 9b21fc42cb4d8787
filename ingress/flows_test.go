package ingress

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/muster/muster/ingress/conntrack"
)

// flow is a flow to a called address, answered by server.
func flow(proto uint8, called, server string, tcpState uint8) *conntrack.Flow {
	return &conntrack.Flow{
		Protocol: proto, Called: netip.MustParseAddrPort(called), Server: netip.MustParseAddrPort(server), TCPState: tcpState,
	}
}

func TestStale(t *testing.T) {
	w := example()
	s := newStale(w, map[netip.Addr]bool{addr("10.77.0.101"): true})
	tests := map[string]struct {
		proto          uint8
		called, server string
		want           bool
	}{
		"tcp to a task here":                  {6, "10.77.0.101:8111", "10.88.0.10:80", false},
		"tcp to a task elsewhere":             {6, "10.77.0.101:8111", "10.88.0.11:80", false},
		"tcp to a task no longer an endpoint": {6, "10.77.0.101:9999", "10.88.0.11:80", false},
		"tcp to a task that is gone":          {6, "10.77.0.101:8111", "10.88.0.99:80", true},
		"tcp that another node sent here":     {6, "10.88.0.10:80", "10.88.0.10:80", false},
		"the same, and the task is gone":      {6, "10.88.0.99:80", "10.88.0.99:80", true},
		"tcp of the node":                     {6, "10.77.0.101:22", "10.77.0.101:22", false},
		"tcp translated by others":            {6, "10.77.0.101:81", "172.17.0.2:80", false},
		"udp to an endpoint":                  {17, "10.77.0.101:53", "10.88.0.10:80", false},
		"udp to a task not an endpoint":       {17, "10.77.0.101:53", "10.88.0.11:80", true},
		"udp that another node sent here":     {17, "10.88.0.10:80", "10.88.0.10:80", false},
		"udp from before the port":            {17, "10.77.0.101:53", "10.77.0.101:53", true},
		"udp of the node":                     {17, "10.77.0.101:123", "10.77.0.101:123", false},
		"udp to another's port":               {17, "8.8.8.8:53", "8.8.8.8:53", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := s.is(flow(tt.proto, tt.called, tt.server, 0)); got != tt.want {
				t.Errorf("stale is %t, want %t", got, tt.want)
			}
		})
	}
}

// TestStaleStates: what has ended by itself is left alone, see over.
func TestStaleStates(t *testing.T) {
	s := newStale(example(), nil)
	for state, want := range map[uint8]bool{tcpSynSent: true, 3: true, tcpCloseWait: true, tcpTimeWait - 1: true, tcpTimeWait: false, tcpTimeWait + 1: false} {
		if got := s.is(flow(6, "10.77.0.101:8111", "10.88.0.99:80", state)); got != want {
			t.Errorf("in state %d: stale %v, want %v", state, got, want)
		}
	}
}

// TestMovedTo: after a change the flows are looked at that it may have moved, and no others.
func TestMovedTo(t *testing.T) {
	udp := func(w *Want, port uint16, endpoints ...Endpoint) {
		w.Ports = append(w.Ports, Port{Protocol: unix.IPPROTO_UDP, Published: port, Endpoints: endpoints})
	}
	b := example().Ports[0].Endpoints[0]
	gone := []netip.Addr{addr("10.88.0.11"), addr("fd88::11")}
	tests := map[string]struct {
		change func(old, w *Want)
		want   []conntrack.Filter
	}{
		"nothing":                     {func(_, _ *Want) {}, nil},
		"a task is gone":              {func(_, w *Want) { w.Nodes[0].Attachments = nil }, []conntrack.Filter{{Servers: gone}}},
		"a node is down":              {func(_, w *Want) { w.Nodes = w.Nodes[1:] }, []conntrack.Filter{{Servers: gone}}},
		"a task is new":               {func(old, _ *Want) { old.Nodes[0].Attachments = nil }, nil},
		"TCP leaves":                  {func(_, w *Want) { w.Ports[0].Endpoints = nil }, nil},
		"UDP leaves":                  {func(old, _ *Want) { udp(old, 54, b) }, []conntrack.Filter{{Protocol: unix.IPPROTO_UDP, Servers: gone}}},
		"UDP leaves, one of two":      {func(old, w *Want) { udp(old, 54, b, w.Ports[1].Endpoints[0]); udp(w, 54, w.Ports[1].Endpoints[0]) }, []conntrack.Filter{{Protocol: unix.IPPROTO_UDP, Servers: gone}}},
		"UDP leaves, and is gone":     {func(old, w *Want) { udp(old, 54, b); w.Nodes[0].Attachments = nil }, []conntrack.Filter{{Servers: gone}}},
		"UDP is published":            {func(_, w *Want) { udp(w, 54, b) }, []conntrack.Filter{{Protocol: unix.IPPROTO_UDP, Port: 54}}},
		"UDP has its first endpoint":  {func(old, w *Want) { udp(old, 54); udp(w, 54, b) }, []conntrack.Filter{{Protocol: unix.IPPROTO_UDP, Port: 54}}},
		"UDP has another endpoint":    {func(_, w *Want) { w.Ports[1].Endpoints = append([]Endpoint{b}, w.Ports[1].Endpoints...) }, nil},
		"UDP is published, many":      {func(_, w *Want) { udp(w, 54, b); udp(w, 55, b); udp(w, 56, b) }, []conntrack.Filter{{Protocol: unix.IPPROTO_UDP}}},
		"UDP is published, to nobody": {func(_, w *Want) { udp(w, 54) }, nil},
		"TCP is published":            {func(old, _ *Want) { old.Ports = old.Ports[1:] }, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			old, w := example(), example()
			tt.change(old, w)
			got := newStale(old, nil).movedTo(newStale(w, nil))
			for _, f := range got {
				slices.SortFunc(f.Servers, netip.Addr.Compare)
			}
			if diff := cmp.Diff(tt.want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("filters (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConnected(t *testing.T) {
	const established, timeWait = 3, 7
	tests := map[string]struct {
		flow *conntrack.Flow
		want bool
	}{
		"translated here":   {flow(6, "10.77.0.101:8111", "10.88.0.10:80", established), true},
		"translated before": {flow(6, "10.88.0.10:80", "10.88.0.10:80", established), true},
		"ended":             {flow(6, "10.88.0.10:80", "10.88.0.10:80", timeWait), false},
		"udp":               {flow(17, "10.77.0.101:53", "10.88.0.10:80", 0), false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := connected(tt.flow); got != tt.want {
				t.Errorf("connected is %t, want %t", got, tt.want)
			}
		})
	}
}
