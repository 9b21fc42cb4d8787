package ingress

import (
	"net/netip"
	"testing"

	"github.com/ti-mo/conntrack"
)

// flow is a flow from a client to a called address, answered by server.
func flow(proto uint8, called, server string, tcpState uint8) conntrack.Flow {
	c, s := netip.MustParseAddrPort(called), netip.MustParseAddrPort(server)
	client := netip.MustParseAddrPort("192.0.2.1:4000")
	f := conntrack.NewFlow(proto, 0, client.Addr(), c.Addr(), client.Port(), c.Port(), 0, 0)
	f.TupleReply.IP.SourceAddress, f.TupleReply.Proto.SourcePort = s.Addr(), s.Port()
	if tcpState != 0 {
		f.ProtoInfo.TCP = &conntrack.ProtoInfoTCP{State: tcpState}
	}
	return f
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

func TestConnected(t *testing.T) {
	const established, timeWait = 3, 7
	tests := map[string]struct {
		flow conntrack.Flow
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
