package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/muster/muster/ingress/dns/names"
	"github.com/muster/muster/ingress/dns/upstream"
)

// pure is a resolver that asks nobody, of one client "c" and a service "many"
// with so many endpoints.
func pure(t testing.TB, endpoints int) *resolver {
	t.Helper()
	many := names.Service{Key: names.Key{Network: "n", Name: "many"}}
	addr := netip.MustParseAddr("10.1.0.1")
	for i := range endpoints {
		many.Endpoints = append(many.Endpoints, names.Endpoint{Slot: fmt.Sprint(i + 1), Addrs: []netip.Addr{addr}})
		addr = addr.Next()
	}
	table, err := names.Empty().Apply(&names.Update{
		Networks: []names.Network{{ID: "n"}},
		Services: []names.Service{service("n", "web", "10.1.0.2"), many},
		Clients:  []names.Client{{ID: "c", Networks: []string{"n"}, Upstreams: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:53")}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := &resolver{others: upstream.New(upstream.Config{
		Dial: func(context.Context, string, string, string) (net.Conn, error) {
			return nil, errors.New("nobody is there")
		},
	})}
	r.table.Store(table)
	return r
}

// say asks a packet, and gives the answer; nil for none.
func (r *resolver) say(t testing.TB, packet []byte, stream bool) *dns.Msg {
	t.Helper()
	got := make(chan []byte, 1)
	r.answer("c", packet, stream, func(raw []byte) { got <- raw })
	raw := <-got
	if raw == nil {
		return nil
	}
	m := new(dns.Msg)
	if err := m.Unpack(raw); err != nil {
		t.Fatalf("the answer to %x is no message: %v", packet, err)
	}
	return m
}

func packed(t testing.TB, change func(m *dns.Msg)) []byte {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion("web.", dns.TypeA)
	m.Id = 4711
	change(m)
	raw, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestBadPackets are answered with what is wrong, or not at all.
func TestBadPackets(t *testing.T) {
	r := pure(t, 0)
	good := packed(t, func(*dns.Msg) {})
	for name, tt := range map[string]struct {
		packet []byte
		want   int // -1 for no answer
	}{
		"good":        {good, dns.RcodeSuccess},
		"nothing":     {nil, -1},
		"short":       {good[:11], -1},
		"cut":         {good[:len(good)-1], dns.RcodeFormatError},
		"header":      {good[:12], dns.RcodeFormatError},
		"answer":      {packed(t, func(m *dns.Msg) { m.Response = true }), -1},
		"no question": {packed(t, func(m *dns.Msg) { m.Question = nil }), dns.RcodeFormatError},
		"two":         {packed(t, func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }), dns.RcodeFormatError},
		"notify":      {packed(t, func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }), dns.RcodeNotImplemented},
		"transfer":    {packed(t, func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeAXFR }), dns.RcodeRefused},
		"EDNS 1": {packed(t, func(m *dns.Msg) {
			m.SetEdns0(1232, false)
			m.IsEdns0().SetVersion(1)
		}), dns.RcodeBadVers},
		"a name that points to itself": {append(append([]byte{}, good[:12]...), 0xc0, 12, 0, 1, 0, 1), dns.RcodeFormatError},
	} {
		for _, stream := range []bool{false, true} {
			m := r.say(t, tt.packet, stream)
			got := -1
			if m != nil {
				if got = m.Rcode; m.Id != 4711 || !m.Response {
					t.Errorf("%s: the answer does not fit: %v", name, m)
				}
			}
			if got != tt.want {
				t.Errorf("%s: answered %d (%s), want %d", name, got, dns.RcodeToString[got], tt.want)
			}
		}
	}
}

// TestSize: an answer over UDP is as large as the client takes, and says what is
// left out; over TCP it is whole. The client's question comes back as it was.
func TestSize(t *testing.T) {
	r := pure(t, 500)
	for name, tt := range map[string]struct {
		size, max uint16
		stream    bool
		whole     bool
	}{
		"plain":    {0, 512, false, false},
		"tiny":     {100, 512, false, false},
		"EDNS":     {1232, 1232, false, false},
		"too much": {65535, maxSize, false, false},
		"TCP":      {0, 65535, true, true},
	} {
		q := packed(t, func(m *dns.Msg) {
			if m.Question[0].Name = "MANY."; tt.size > 0 {
				m.SetEdns0(tt.size, true)
			}
		})
		m := r.say(t, q, tt.stream)
		m.Compress = true
		if m.Len() > int(tt.max) || m.Truncated == tt.whole || tt.whole != (len(m.Answer) == 500) || len(m.Answer) < 20 {
			t.Errorf("%s: %d records in %d bytes, truncated: %t", name, len(m.Answer), m.Len(), m.Truncated)
		}
		if opt := m.IsEdns0(); (opt != nil) != (tt.size > 0) || opt != nil && !opt.Do() {
			t.Errorf("%s: answered with options %v", name, opt)
		}
		if m.Question[0].Name != "MANY." || !m.Authoritative || !m.RecursionAvailable {
			t.Errorf("%s: answered %v", name, m.MsgHdr)
		}
	}
}

// TestShuffled: whoever takes the first address spreads what it asks for.
func TestShuffled(t *testing.T) {
	r := pure(t, 4)
	q := packed(t, func(m *dns.Msg) { m.Question[0].Name = "many." })
	firsts := make(map[string]int)
	for range 400 {
		firsts[r.say(t, q, false).Answer[0].String()]++
	}
	for addr, n := range firsts {
		if n < 50 {
			t.Errorf("%s comes first %d times of 400", addr, n)
		}
	}
	if len(firsts) != 4 {
		t.Errorf("%d of 4 addresses come first at times", len(firsts))
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(packed(f, func(*dns.Msg) {}), false)
	f.Add(packed(f, func(m *dns.Msg) { m.SetEdns0(4096, true) }), true)
	f.Add(packed(f, func(m *dns.Msg) { m.Question[0].Name = "_http._tcp.many." }), false)
	f.Add(packed(f, func(m *dns.Msg) { m.Question[0].Name = "1.0.1.10.in-addr.arpa." }), false)
	r := pure(f, 30)
	// What is not ours is refused here: to ask takes time.
	table, _ := r.table.Load().Apply(&names.Update{Clients: []names.Client{{ID: "c", Networks: []string{"n"}, Domain: "in", Internal: true}}})
	r.table.Store(table)
	f.Fuzz(func(t *testing.T, packet []byte, stream bool) {
		m := r.say(t, packet, stream)
		if m == nil {
			return
		}
		if !m.Response || m.Id != uint16(packet[0])<<8|uint16(packet[1]) {
			t.Errorf("%x is answered %v", packet, m)
		}
		if raw, err := m.Pack(); !stream && err == nil && len(raw) > maxSize*4 {
			t.Errorf("%x is answered with %d bytes", packet, len(raw))
		}
		if len(m.Question) == 1 && strings.EqualFold(m.Question[0].Name, "web.") && m.Question[0].Qtype == dns.TypeA && m.Rcode == dns.RcodeSuccess && len(m.Answer) != 1 && m.Question[0].Qclass == dns.ClassINET {
			t.Errorf("web is %v", m)
		}
	})
}
