package ruleset

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
)

func TestElementsAsPeopleReadThem(t *testing.T) {
	want := map[nftables.TableFamily]string{
		nftables.TableFamilyIPv4: `empty tcp . 81
empty udp . 81
endpoints tcp . 80 . 0x0 : 10.88.0.1 . 8080
endpoints tcp . 80 . 0x1 : 10.88.0.2 . 8080
endpoints udp . 53 . 0x0 : 10.88.0.2 . 5353
hairpin 192.0.2.1 . 10.88.0.1
origin 02:00:00:00:00:07 : 0x71000
peers 192.0.2.2
ports tcp . 80 : goto d2_16
ports udp . 53 : goto d1_53
subnets 10.88.0.0
subnets before 10.89.0.0
`,
		nftables.TableFamilyIPv6: `empty tcp . 81
empty udp . 81
endpoints tcp . 80 . 0x0 : fd88::1 . 8080
endpoints tcp . 80 . 0x1 : fd88::2 . 8080
endpoints udp . 53 . 0x0 : fd88::2 . 5353
hairpin 2001:db8::1 . fd88::1
origin 02:00:00:00:00:07 : 0x71000
peers 2001:db8::2
ports tcp . 80 : goto d2_16
ports udp . 53 : goto d1_53
subnets before fd88:0:0:1::
subnets fd88::
`,
	}
	for fam, table := range node() {
		if diff := cmp.Diff(want[fam], table.String()); diff != "" {
			t.Errorf("family %d (-want +got):\n%s", fam, diff)
		}
	}
}

// The kernel refuses, or worse misreads, an element whose length is not that
// of its set's type.
func TestElementsAreAsLongAsTheirTypes(t *testing.T) {
	for fam, table := range node() {
		for name, s := range table.Sets {
			if len(s.Elements) == 0 {
				t.Errorf("family %d: nothing of set %s was tried", fam, name)
			}
			for e, v := range s.Elements {
				// The kernel pads what stands alone, as it does registers.
				if uint32(len(e.Key)) != s.Spec.KeyType.Bytes {
					t.Errorf("set %s: a key of %d bytes, want %d", name, len(e.Key), s.Spec.KeyType.Bytes)
				}
				if s.Spec.IsMap && !s.verdicts() && uint32(len(v)) != s.Spec.DataType.Bytes {
					t.Errorf("map %s: a value of %d bytes, want %d", name, len(v), s.Spec.DataType.Bytes)
				}
				if s.verdicts() && table.Chains[v] == nil {
					t.Errorf("map %s leads to %s, which is no chain", name, v)
				}
			}
		}
	}
}

func TestWhatIsShortOrOfAnUnknownTypeIsShownRaw(t *testing.T) {
	port := nftables.MustConcatSetType(nftables.TypeInetProto, nftables.TypeInetService)
	tests := map[string]struct {
		raw  string
		typ  nftables.SetDatatype
		want string
	}{
		"whole":           {"\x06\x00\x00\x00\x1f\x90\x00\x00", port, "tcp . 8080"},
		"another's":       {"\x84\x00\x00\x00\x1f\x90\x00\x00", port, "132 . 8080"},
		"without padding": {"\x06\x00\x00\x00\x1f\x90", port, "tcp . 8080"},
		"cut short":       {"\x06\x00\x00\x00\x1f", port, "1f"},
		"empty":           {"", port, ""},
		"another type":    {"\x01", nftables.TypeICMPCode, "01"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := decode(tt.raw, tt.typ); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestPublishing(t *testing.T) {
	table := New(nftables.TableFamilyIPv4, names)
	base := len(table.Chains)
	two := taskAddrs(table.Family, 2)
	table.PutPort(tcp, 1000, two)
	table.PutPort(tcp, 1000+shards, two)
	table.PutPort(udp, 1000, two)
	if got := len(table.Chains) - base; got != 1 {
		t.Errorf("ports of one shard with as many endpoints have %d balancers, want to share one", got)
	}
	table.PutPort(tcp, 1001, two)
	table.PutPort(tcp, 1000+2*shards, two[:1])
	if got := len(table.Chains) - base; got != 3 {
		t.Errorf("there are %d balancers, want one more for another shard and one for another number", got)
	}
	if got := len(table.Sets[Endpoints].Elements); got != 9 {
		t.Errorf("%d endpoints are listed, want 9", got)
	}
	if got := len(table.Sets[Empty].Elements); got != 0 {
		t.Errorf("%d ports are without endpoints", got)
	}
}

// Whatever the addresses before and behind a subnet are, only what is in it is
// a task's.
func TestSubnets(t *testing.T) {
	tests := map[string]struct {
		subnets, within, without string
	}{
		"one":                        {"10.88.0.0/16", "10.88.0.0 10.88.128.7 10.88.255.255", "10.87.255.255 10.89.0.0 0.0.0.0 255.255.255.255"},
		"two with a gap":             {"10.0.0.0/25 10.0.1.0/24", "10.0.0.127 10.0.1.0 10.0.1.255", "10.0.0.128 10.0.0.255 10.0.2.0"},
		"two side by side":           {"10.0.0.0/25 10.0.0.128/25", "10.0.0.0 10.0.0.127 10.0.0.128 10.0.0.255", "9.255.255.255 10.0.1.0"},
		"up to the last address":     {"255.255.255.0/24", "255.255.255.0 255.255.255.255", "255.255.254.255 0.0.0.0"},
		"from the first address":     {"0.0.0.0/8", "0.0.0.0 0.255.255.255", "1.0.0.0"},
		"one address":                {"10.0.0.7/32", "10.0.0.7", "10.0.0.6 10.0.0.8"},
		"not from its first address": {"10.0.0.99/24", "10.0.0.0 10.0.0.255", "9.255.255.255 10.0.1.0"},
		"none":                       {"", "", "10.0.0.1"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			table := New(nftables.TableFamilyIPv4, names)
			for p := range strings.FieldsSeq(tt.subnets) {
				table.PutSubnet(netip.MustParsePrefix(p))
			}
			for addrs, want := range map[string]bool{tt.within: true, tt.without: false} {
				for a := range strings.FieldsSeq(addrs) {
					if _, got := table.Sets[Subnets].find(string(netip.MustParseAddr(a).AsSlice())); got != want {
						t.Errorf("%s is in: %t, want %t", a, got, want)
					}
				}
			}
		})
	}
}

func TestLastAddr(t *testing.T) {
	for prefix, want := range map[string]string{
		"10.88.0.0/16":  "10.88.255.255",
		"10.0.0.128/25": "10.0.0.255",
		"10.0.0.6/31":   "10.0.0.7",
		"0.0.0.0/0":     "255.255.255.255",
		"fd88::/64":     "fd88::ffff:ffff:ffff:ffff",
	} {
		if got := lastAddr(netip.MustParsePrefix(prefix)).String(); got != want {
			t.Errorf("lastAddr(%s) = %s, want %s", prefix, got, want)
		}
	}
}

// The last that is said of a key counts.
func TestPuttingAgainReplaces(t *testing.T) {
	table := New(nftables.TableFamilyIPv4, names)
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 7}
	table.PutOrigin(mac, 7<<16)
	table.PutOrigin(mac, 8<<16)
	table.PutPeer(netip.MustParseAddr("192.0.2.2"))
	table.PutPeer(netip.MustParseAddr("192.0.2.2"))
	if got, want := table.String(), "origin 02:00:00:00:00:07 : 0x80000\npeers 192.0.2.2\n"; got != want {
		t.Errorf("the table holds\n%swant\n%s", got, want)
	}
}
