package port_test

import (
	"slices"
	"testing"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/port"
)

const (
	unset = clusterpb.Port_PROTOCOL_UNSPECIFIED
	tcp   = clusterpb.Port_PROTOCOL_TCP
	udp   = clusterpb.Port_PROTOCOL_UDP
)

func TestOf(t *testing.T) {
	tests := map[string]struct {
		port port.Published
		want port.Key
		text string
	}{
		"tcp":                 {&clusterpb.Port{Protocol: tcp, Published: 8111, Target: 80}, port.Key{tcp, 8111}, "8111/tcp"},
		"udp":                 {&clusterpb.Port{Protocol: udp, Published: 53}, port.Key{udp, 53}, "53/udp"},
		"no protocol is tcp":  {&clusterpb.Port{Published: 80}, port.Key{tcp, 80}, "80/tcp"},
		"a number is to come": {&clusterpb.Port{Protocol: udp}, port.Key{udp, 0}, "0/udp"},
		"of the mesh":         {&dispatchpb.MeshPort{Protocol: udp, Published: 53}, port.Key{udp, 53}, "53/udp"},
		"none":                {(*clusterpb.Port)(nil), port.Key{tcp, 0}, "0/tcp"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := port.Of(tt.port)
			if got != tt.want || got.String() != tt.text {
				t.Errorf("%#v %s, want %#v %s", got, got, tt.want, tt.text)
			}
		})
	}
}

// TestKeyIgnoresTargetAndMode: two ports with one key cannot both be published.
func TestKeyIgnoresTargetAndMode(t *testing.T) {
	a := &clusterpb.Port{Protocol: tcp, Published: 80, Target: 80, Mode: clusterpb.Port_MODE_INGRESS}
	b := &clusterpb.Port{Published: 80, Target: 8080, Mode: clusterpb.Port_MODE_HOST}
	if port.Of(a) != port.Of(b) || port.Compare(a, b) != 0 {
		t.Errorf("%s and %s differ", port.Of(a), port.Of(b))
	}
}

func TestCompare(t *testing.T) {
	sorted := []port.Key{{tcp, 0}, {tcp, 80}, {tcp, 443}, {udp, 53}, {udp, 80}}
	mixed := []port.Key{sorted[3], sorted[1], sorted[4], sorted[2], sorted[0]}
	slices.SortFunc(mixed, port.Key.Compare)
	if !slices.Equal(mixed, sorted) {
		t.Errorf("sorted to %v, want %v", mixed, sorted)
	}
}

func TestProtocolNames(t *testing.T) {
	for p, want := range map[clusterpb.Port_Protocol]string{unset: "tcp", tcp: "tcp", udp: "udp"} {
		name := port.ProtocolName(p)
		if name != want {
			t.Errorf("%s is named %q, want %q", p, name, want)
		}
		back, ok := port.ParseProtocol(name)
		if effective := port.Protocol(&clusterpb.Port{Protocol: p}); !ok || back != effective {
			t.Errorf("%q is read as %s, %v, want %s", name, back, ok, effective)
		}
	}
	for _, name := range []string{"TCP", "Udp"} {
		if _, ok := port.ParseProtocol(name); !ok {
			t.Errorf("%q is not read", name)
		}
	}
	for _, name := range []string{"", "sctp", " tcp", "unspecified"} {
		if p, ok := port.ParseProtocol(name); ok {
			t.Errorf("%q is read as %s", name, p)
		}
	}
	for p, want := range map[clusterpb.Port_Protocol]byte{unset: 6, tcp: 6, udp: 17} {
		if got := port.IPProtocol(p); got != want {
			t.Errorf("%s has the number %d in an IP header, want %d", p, got, want)
		}
	}
}

// TestEveryProtocolHasItsName fails for a protocol that only the messages know.
func TestEveryProtocolHasItsName(t *testing.T) {
	named := make(map[string]clusterpb.Port_Protocol)
	for n := range clusterpb.Port_Protocol_name {
		p := clusterpb.Port_Protocol(n)
		if p == unset {
			continue
		}
		name := port.ProtocolName(p)
		if other, taken := named[name]; taken {
			t.Errorf("%s and %s are both named %q", other, p, name)
		}
		named[name] = p
	}
}

func TestModes(t *testing.T) {
	const ingress, host = clusterpb.Port_MODE_INGRESS, clusterpb.Port_MODE_HOST
	for m, want := range map[clusterpb.Port_Mode]string{clusterpb.Port_MODE_UNSPECIFIED: "ingress", ingress: "ingress", host: "host"} {
		if got := port.ModeName(m); got != want {
			t.Errorf("%s is named %q, want %q", m, got, want)
		}
	}
	for name, want := range map[string]clusterpb.Port_Mode{"ingress": ingress, "host": host} {
		if got, ok := port.ParseMode(name); !ok || got != want {
			t.Errorf("%q is read as %s, %v, want %s", name, got, ok, want)
		}
	}
	for _, name := range []string{"", "Host", "global", "unspecified"} {
		if m, ok := port.ParseMode(name); ok {
			t.Errorf("%q is read as %s", name, m)
		}
	}
}

func TestWhoAnswers(t *testing.T) {
	tests := map[string]struct {
		mode                          clusterpb.Port_Mode
		published                     uint32
		hostMode, meshed, fixedOnHost bool
	}{
		"ingress":                {clusterpb.Port_MODE_INGRESS, 80, false, true, false},
		"no mode":                {clusterpb.Port_MODE_UNSPECIFIED, 80, false, true, false},
		"ingress without number": {clusterpb.Port_MODE_INGRESS, 0, false, false, false},
		"host":                   {clusterpb.Port_MODE_HOST, 80, true, false, true},
		"host without number":    {clusterpb.Port_MODE_HOST, 0, true, false, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := &clusterpb.Port{Protocol: tcp, Target: 80, Published: tt.published, Mode: tt.mode}
			if got := port.HasHostMode(p); got != tt.hostMode {
				t.Errorf("host mode: %v", got)
			}
			if got := port.IsMeshed(p); got != tt.meshed {
				t.Errorf("meshed: %v", got)
			}
			if got := port.IsFixedOnHost(p); got != tt.fixedOnHost {
				t.Errorf("fixed on the host: %v", got)
			}
		})
	}
}

func TestRanges(t *testing.T) {
	if got := port.IngressRange().String(); got != "30000-32767" {
		t.Errorf("ports of every node are chosen from %s", got)
	}
	if r := port.HostRange(); r.First <= port.IngressRange().Last || r.Last != port.Max {
		t.Errorf("ports of one node are chosen from %s", r)
	}
}
