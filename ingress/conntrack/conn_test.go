package conntrack

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
	peer "github.com/ti-mo/conntrack"
	"golang.org/x/sys/unix"

	"github.com/muster/muster/integration/needs"
)

// unshare moves the test to a network namespace without any flow. Its thread
// ends with it.
func unshare(t testing.TB) {
	t.Helper()
	needs.Root(t, "a network namespace")
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
}

// flow is one that another library writes.
func flow(protocol uint8, client, called, server string, state uint8) peer.Flow {
	from, to, by := netip.MustParseAddrPort(client), netip.MustParseAddrPort(called), netip.MustParseAddrPort(server)
	f := peer.NewFlow(protocol, 0, from.Addr(), to.Addr(), from.Port(), to.Port(), 3600, 0)
	f.TupleReply.IP.SourceAddress, f.TupleReply.Proto.SourcePort = by.Addr(), by.Port()
	if state != 0 {
		f.ProtoInfo.TCP = &peer.ProtoInfoTCP{State: state}
	}
	return f
}

func create(t testing.TB, flows ...peer.Flow) {
	t.Helper()
	c, err := peer.Dial(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, f := range flows {
		if err := c.Create(f); err != nil {
			t.Fatalf("create %+v: %v", f, err)
		}
	}
}

func dial(t testing.TB) *Conn {
	t.Helper()
	c, err := Dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func addrs(texts ...string) []netip.Addr {
	list := []netip.Addr{}
	for _, a := range texts {
		list = append(list, netip.MustParseAddr(a))
	}
	return list
}

func text(f *Flow) string { return fmt.Sprint(f.Protocol, f.Called, f.Server, f.TCPState) }

// TestFilters: the kernel lists what matches and nothing else, and each flow is
// read as it was written.
func TestFilters(t *testing.T) {
	unshare(t)
	create(t,
		flow(unix.IPPROTO_TCP, "192.0.2.1:1000", "10.77.0.1:80", "10.88.0.10:8080", 3),
		flow(unix.IPPROTO_TCP, "192.0.2.1:1001", "10.77.0.1:80", "10.88.0.11:8080", 7),
		flow(unix.IPPROTO_UDP, "192.0.2.1:1000", "10.77.0.1:53", "10.88.0.10:53", 0),
		flow(unix.IPPROTO_UDP, "192.0.2.1:1001", "10.77.0.1:54", "10.77.0.1:54", 0),
		flow(unix.IPPROTO_TCP, "[fd01::1]:1000", "[fd77::1]:80", "[fd88::10]:8080", 3),
		flow(unix.IPPROTO_UDP, "[fd01::1]:1000", "[fd77::1]:53", "[fd88::10]:53", 0),
	)
	const (
		established  = "6 10.77.0.1:80 10.88.0.10:8080 3"
		waiting      = "6 10.77.0.1:80 10.88.0.11:8080 7"
		name         = "17 10.77.0.1:53 10.88.0.10:53 0"
		node         = "17 10.77.0.1:54 10.77.0.1:54 0"
		established6 = "6 [fd77::1]:80 [fd88::10]:8080 3"
		name6        = "17 [fd77::1]:53 [fd88::10]:53 0"
	)
	tests := map[string]struct {
		filter Filter
		want   []string
	}{
		"all":                   {Filter{}, []string{established, waiting, name, node, established6, name6}},
		"protocol":              {Filter{Protocol: unix.IPPROTO_TCP}, []string{established, waiting, established6}},
		"server":                {Filter{Servers: addrs("10.88.0.10")}, []string{established, name}},
		"server, mapped":        {Filter{Servers: addrs("::ffff:10.88.0.10")}, []string{established, name}},
		"server, IPv6":          {Filter{Servers: addrs("fd88::10")}, []string{established6, name6}},
		"servers of both":       {Filter{Servers: addrs("10.88.0.10", "fd88::10", "fd88::11", "10.88.0.10")}, []string{established, name, established6, name6}},
		"many servers":          {Filter{Servers: addrs("10.88.0.10", "10.88.0.11", "10.88.0.12", "10.88.0.13", "10.88.0.14")}, []string{established, waiting, name}},
		"protocol and server":   {Filter{Protocol: unix.IPPROTO_TCP, Servers: addrs("10.88.0.10")}, []string{established}},
		"protocol and port":     {Filter{Protocol: unix.IPPROTO_UDP, Port: 53}, []string{name, name6}},
		"a server without any":  {Filter{Servers: addrs("10.88.0.99", "fd88::99")}, nil},
		"no server":             {Filter{Servers: addrs()}, nil},
		"all that there can be": {Filter{Protocol: unix.IPPROTO_UDP, Servers: addrs("fd88::10"), Port: 53}, []string{name6}},
	}
	c := dial(t)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			want := make(map[string]int)
			for _, f := range tt.want {
				want[f]++
			}
			got := make(map[string]int)
			err := c.Each(tt.filter, func(f *Flow) { got[text(f)]++ })
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("flows (-want +got):\n%s%v", diff, err)
			}
		})
	}
}

// TestQuestions: the kernel lists what was asked for, and nothing else.
func TestQuestions(t *testing.T) {
	unshare(t)
	create(t,
		flow(unix.IPPROTO_TCP, "192.0.2.1:1000", "10.77.0.1:80", "10.88.0.10:80", 3),
		flow(unix.IPPROTO_TCP, "192.0.2.1:1001", "10.77.0.1:80", "10.88.0.11:80", 3),
		flow(unix.IPPROTO_UDP, "192.0.2.1:1000", "10.77.0.1:53", "10.88.0.10:53", 0),
		flow(unix.IPPROTO_TCP, "[fd01::1]:1000", "[fd77::1]:80", "[fd88::10]:80", 3),
	)
	c := dial(t)
	for name, tt := range map[string]struct {
		filter Filter
		want   []int // flows for each question
	}{
		"all":         {Filter{}, []int{4}},
		"protocol":    {Filter{Protocol: unix.IPPROTO_TCP}, []int{2, 1}},
		"port":        {Filter{Protocol: unix.IPPROTO_UDP, Port: 53}, []int{1, 0}},
		"server":      {Filter{Servers: addrs("10.88.0.10")}, []int{2}},
		"server, TCP": {Filter{Protocol: unix.IPPROTO_TCP, Servers: addrs("10.88.0.10")}, []int{1}},
		"servers":     {Filter{Servers: addrs("10.88.0.11", "10.88.0.10", "10.88.0.11", "fd88::10")}, []int{1, 2, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []int
			for _, q := range tt.filter.questions() {
				attributes, err := tt.filter.attributes(q)
				if err != nil {
					t.Fatal(err)
				}
				n := 0
				if err := c.list(attributes, q.family, func(*Flow) { n++ }); err != nil {
					t.Fatal(err)
				}
				got = append(got, n)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("flows listed (-want +got):\n%s", diff)
			}
		})
	}
}

// TestUnknownFilter: a kernel that refuses or ignores filters gives all flows,
// and those that match are picked here.
func TestUnknownFilter(t *testing.T) {
	unshare(t)
	create(t,
		flow(unix.IPPROTO_TCP, "192.0.2.1:1000", "10.77.0.1:80", "10.88.0.10:8080", 3),
		flow(unix.IPPROTO_UDP, "192.0.2.1:1001", "10.77.0.1:80", "10.88.0.11:8080", 0),
	)
	c := dial(t)
	n := 0
	// A port alone is what this kernel refuses.
	if err := c.Each(Filter{Port: 80}, func(*Flow) { n++ }); err != nil || n != 2 {
		t.Errorf("%d flows, %v", n, err)
	}
}

// TestDelete: a flow is deleted once, and another of the same addresses and ports is not.
func TestDelete(t *testing.T) {
	unshare(t)
	zoned := flow(unix.IPPROTO_TCP, "[fd01::1]:1000", "[fd77::1]:80", "[fd88::10]:8080", 3)
	zoned.Zone = 7
	create(t, zoned, flow(unix.IPPROTO_UDP, "192.0.2.1:1000", "10.77.0.1:53", "10.88.0.10:53", 0))
	c := dial(t)
	list := func() (all []Flow) {
		t.Helper()
		if err := c.Each(Filter{}, func(f *Flow) { all = append(all, f.Keep()) }); err != nil {
			t.Fatal(err)
		}
		return all
	}
	flows := list()
	for _, f := range flows {
		other := f.Keep()
		other.key.id[len(other.key.id)-1]++
		if err := c.Delete(other); !errors.Is(err, unix.ENOENT) {
			t.Errorf("delete another than %s: %v", text(&f), err)
		}
	}
	if left := list(); len(left) != 2 {
		t.Fatalf("%d flows are left of 2", len(left))
	}
	for _, f := range flows {
		if err := c.Delete(f); err != nil {
			t.Error(err)
		}
		if err := c.Delete(f); !errors.Is(err, unix.ENOENT) {
			t.Errorf("delete %s again: %v", text(&f), err)
		}
	}
	if left := list(); len(left) != 0 {
		t.Errorf("%d flows are left", len(left))
	}
}

// BenchmarkEach lists 100,000 flows of TCP: all, those of one protocol, those of one address.
func BenchmarkEach(b *testing.B) {
	unshare(b)
	var flows []peer.Flow
	for i := range 100_000 {
		flows = append(flows, flow(unix.IPPROTO_TCP, fmt.Sprintf("192.0.%d.%d:1000", i>>8&0xff, i&0xff), fmt.Sprintf("10.77.0.1:%d", 80+(i>>16)), fmt.Sprintf("10.88.0.%d:80", 10+i%50), 3))
	}
	create(b, flows...)
	c := dial(b)
	for name, f := range map[string]Filter{
		"all": {}, "protocol": {Protocol: unix.IPPROTO_TCP},
		"server":  {Protocol: unix.IPPROTO_TCP, Servers: addrs("10.88.0.10")},
		"server6": {Protocol: unix.IPPROTO_TCP, Servers: addrs("fd88::10")},
		"port":    {Protocol: unix.IPPROTO_TCP, Port: 99},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				n := 0
				if err := c.Each(f, func(*Flow) { n++ }); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(n), "flows")
			}
		})
	}
}

// TestParseCutOff: a message that is cut off anywhere is no flow, and harms nobody.
func TestParseCutOff(t *testing.T) {
	b, err := (Filter{Protocol: unix.IPPROTO_TCP}).attributes(question{family: unix.AF_INET, server: netip.MustParseAddr("10.88.0.10")})
	if err != nil {
		t.Fatal(err)
	}
	b = append([]byte{unix.AF_INET, 0, 0, 0}, b...)
	var f Flow
	for n := range b {
		if f.parse(b[:n]) {
			t.Errorf("a flow of %d bytes: %s", n, text(&f))
		}
	}
}
