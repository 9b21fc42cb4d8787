package names

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func addrs(s string) (all []netip.Addr) {
	for a := range strings.FieldsSeq(s) {
		all = append(all, netip.MustParseAddr(a))
	}
	return all
}

// shop is two networks: web is in both, cache in front alone, db in back alone.
func shop() *Update {
	in := func(network, name string) Key { return Key{Network: network, Name: name} }
	return &Update{
		Whole: true,
		Networks: []Network{
			{ID: "front", Subnets: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/24"), netip.MustParsePrefix("fd01::/64")}},
			{ID: "back", Subnets: []netip.Prefix{netip.MustParsePrefix("10.2.0.0/24")}},
		},
		Services: []Service{
			{
				Key: in("front", "web"), Aliases: []string{"www", "site"}, Virtual: addrs("10.1.0.2 fd01::2"),
				Endpoints: []Endpoint{{Slot: "1", Addrs: addrs("10.1.0.11 fd01::11")}, {Slot: "2", Addrs: addrs("10.1.0.12 fd01::12")}},
				Ports:     []Port{{Name: "http", Protocol: "tcp", Port: 80}},
			},
			{
				Key: in("front", "cache"), Aliases: []string{"site", "web"},
				Endpoints: []Endpoint{{Slot: "1", Addrs: addrs("10.1.0.21")}, {Slot: "node-b", Addrs: addrs("10.1.0.22")}},
				Ports:     []Port{{Name: "redis", Protocol: "tcp", Port: 6379}},
			},
			{Key: in("front", "Idle"), Aliases: nil},
			{Key: in("back", "db"), Virtual: addrs("10.2.0.2"), Endpoints: []Endpoint{{Slot: "1", Addrs: addrs("10.2.0.11")}}},
			{Key: in("back", "web"), Virtual: addrs("10.2.0.3")},
		},
		Clients: []Client{
			{ID: "f", Networks: []string{"front"}, Domain: "muster.internal", Hosts: []Host{{Name: "host.docker.internal", Addrs: addrs("169.254.1.1")}}},
			{ID: "fb", Networks: []string{"front", "back", "gone"}},
			{ID: "none"},
		},
	}
}

func table(t testing.TB, updates ...*Update) *Table {
	t.Helper()
	tab := Empty()
	for _, u := range updates {
		var err error
		if tab, err = tab.Apply(u); err != nil {
			t.Fatal(err)
		}
	}
	return tab
}

// say writes an answer as "TYPE data/ttl" of each record, sorted, or what stands for none.
func say(a Answer) string {
	if !a.Ours {
		return "others"
	}
	var all []string
	for _, rr := range a.Records {
		fields := strings.Fields(rr.String())
		all = append(all, fmt.Sprintf("%s/%d", strings.Join(fields[3:], " "), rr.Header().Ttl))
	}
	slices.Sort(all)
	if len(all) == 0 {
		return map[int]string{dns.RcodeSuccess: "nodata", dns.RcodeNameError: "nxdomain"}[a.Rcode]
	}
	return strings.Join(all, ", ")
}

func TestAnswer(t *testing.T) {
	tab := table(t, shop())
	for _, tt := range []struct{ client, question, want string }{
		{"f", "web. A", "A 10.1.0.2/1"},
		{"f", "WEB. A", "A 10.1.0.2/1"},
		{"f", "web. AAAA", "AAAA fd01::2/1"},
		{"f", "web. MX", "nodata"},
		{"f", "web. HTTPS", "nodata"},
		{"f", "web. ANY", "A 10.1.0.2/1, AAAA fd01::2/1"},
		{"f", "www. A", "A 10.1.0.2/1"},
		{"f", "site. A", "A 10.1.0.2/1, A 10.1.0.21/0, A 10.1.0.22/0"},
		{"f", "cache. A", "A 10.1.0.21/0, A 10.1.0.22/0"},
		{"f", "cache. AAAA", "nodata"},
		{"f", "idle. A", "nodata"},
		{"f", "tasks.web. A", "A 10.1.0.11/0, A 10.1.0.12/0"},
		{"f", "tasks.web. AAAA", "AAAA fd01::11/0, AAAA fd01::12/0"},
		{"f", "tasks.www. A", "A 10.1.0.11/0, A 10.1.0.12/0"},
		{"f", "1.web. A", "A 10.1.0.11/0"},
		{"f", "web.2. A", "A 10.1.0.12/0"},
		{"f", "web.3. A", "nxdomain"},
		{"f", "3.web. A", "nxdomain"},
		{"f", "node-b.cache. A", "A 10.1.0.22/0"},
		{"f", "cache.NODE-B. A", "A 10.1.0.22/0"},
		// Another's domain may have the name of a service.
		{"f", "web.com. A", "others"},
		{"f", "www.cache. A", "others"},
		{"f", "a.b.web. A", "others"},
		{"f", "example.com. A", "others"},
		{"f", "nas. A", "others"},
		{"f", "tasks.nas. A", "others"},
		{"f", ". NS", "others"},
		// Scope: what one network knows, the other does not.
		{"f", "db. A", "others"},
		{"fb", "db. A", "A 10.2.0.2/1"},
		{"fb", "web. A", "A 10.1.0.2/1, A 10.2.0.3/1"},
		{"none", "web. A", "others"},
		{"nobody", "web. A", "others"},
		// The search domain.
		{"f", "web.muster.internal. A", "A 10.1.0.2/1"},
		{"f", "tasks.Web.Muster.Internal. A", "A 10.1.0.11/0, A 10.1.0.12/0"},
		{"f", "2.web.muster.internal. A", "A 10.1.0.12/0"},
		{"f", "db.muster.internal. A", "nxdomain"},
		{"f", "example.com.muster.internal. A", "nxdomain"},
		{"f", "muster.internal. SOA", "nodata"},
		{"fb", "web.muster.internal. A", "others"},
		// Extra hosts.
		{"f", "host.docker.internal. A", "A 169.254.1.1/1"},
		{"f", "Host.Docker.Internal. AAAA", "nodata"},
		{"fb", "host.docker.internal. A", "others"},
		// Services' ports.
		{"f", "_http._tcp.web. SRV", "SRV 0 1 80 web./1"},
		{"f", "_80._tcp.web. SRV", "SRV 0 1 80 web./1"},
		{"f", "_HTTP._TCP.web.muster.internal. SRV", "SRV 0 1 80 web.muster.internal./1"},
		{"f", "_redis._tcp.cache. SRV", "SRV 0 1 6379 1.cache./0, SRV 0 1 6379 node-b.cache./0"},
		{"f", "_redis._udp.cache. SRV", "nxdomain"},
		{"f", "_redis._tcp.cache. A", "nodata"},
		{"f", "_redis._tcp.db. SRV", "others"},
		{"f", "web. SRV", "nodata"},
		// Whose an address is.
		{"f", "2.0.1.10.in-addr.arpa. PTR", "PTR web.muster.internal./1"},
		{"f", "11.0.1.10.in-addr.arpa. PTR", "PTR 1.web.muster.internal./1"},
		{"fb", "22.0.1.10.in-addr.arpa. PTR", "PTR node-b.cache./1"},
		{"f", "22.0.1.10.IN-ADDR.ARPA. A", "nodata"},
		{"f", "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.d.f.ip6.arpa. PTR", "PTR web.muster.internal./1"},
		{"f", "99.0.1.10.in-addr.arpa. PTR", "nxdomain"},
		{"f", "2.0.2.10.in-addr.arpa. PTR", "nxdomain"}, // another network's
		{"fb", "2.0.2.10.in-addr.arpa. PTR", "PTR db./1"},
		{"f", "8.8.8.8.in-addr.arpa. PTR", "others"},
		{"f", "0.1.10.in-addr.arpa. PTR", "others"},
	} {
		name, kind, _ := strings.Cut(tt.question, " ")
		q := dns.Question{Name: name, Qtype: dns.StringToType[kind], Qclass: dns.ClassINET}
		a := tab.Answer(tab.Client(tt.client), q)
		if got := say(a); got != tt.want {
			t.Errorf("%s asks %s: %s, want %s", tt.client, tt.question, got, tt.want)
		}
		for _, rr := range a.Records {
			if rr.Header().Name != name {
				t.Errorf("%s is answered for %s", name, rr.Header().Name)
			}
		}
	}
}

// TestServiceLeads: where a record leads to is told along with it, and is a name
// that leads there.
func TestServiceLeads(t *testing.T) {
	tab := table(t, shop())
	c := tab.Client("f")
	a := tab.Answer(c, dns.Question{Name: "_redis._tcp.cache.muster.internal.", Qtype: dns.TypeSRV, Qclass: dns.ClassINET})
	if len(a.Records) != 2 || len(a.Extra) != 2 {
		t.Fatalf("%d records and %d more, want 2 each", len(a.Records), len(a.Extra))
	}
	for i, rr := range a.Records {
		q := dns.Question{Name: rr.(*dns.SRV).Target, Qtype: dns.TypeA, Qclass: dns.ClassINET}
		if got, want := say(tab.Answer(c, q)), say(Answer{Ours: true, Records: a.Extra[i : i+1]}); got != want {
			t.Errorf("%s is %s, and %s was told along", q.Name, got, want)
		}
	}
}

// TestPointersLeadBack: the name of each address has that address.
func TestPointersLeadBack(t *testing.T) {
	tab := table(t, shop())
	c := tab.Client("f")
	for _, s := range shop().Services {
		if s.Network != "front" {
			continue
		}
		for addr := range owned(&s) {
			arpa, err := dns.ReverseAddr(addr.String())
			if err != nil {
				t.Fatal(err)
			}
			a := tab.Answer(c, dns.Question{Name: arpa, Qtype: dns.TypePTR, Qclass: dns.ClassINET})
			if len(a.Records) != 1 {
				t.Fatalf("%s has %d names", addr, len(a.Records))
			}
			forward := tab.Answer(c, dns.Question{Name: a.Records[0].(*dns.PTR).Ptr, Qtype: dns.TypeANY, Qclass: dns.ClassINET})
			if !strings.Contains(say(forward), " "+addr.String()+"/") {
				t.Errorf("%s is called %s, which is %s", addr, a.Records[0].(*dns.PTR).Ptr, say(forward))
			}
		}
	}
}
