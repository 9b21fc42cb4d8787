package daemon

import (
	"net/netip"
	"strings"
	"testing"
)

func TestAddresses(t *testing.T) {
	one := host{interfaces: map[string][]netip.Addr{
		"lo":   {netip.MustParseAddr("127.0.0.1")},
		"eth0": {netip.MustParseAddr("fe80::1"), netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7")},
	}}
	two := host{interfaces: map[string][]netip.Addr{
		"eth0": {netip.MustParseAddr("192.0.2.7")}, "eth1": {netip.MustParseAddr("198.51.100.7")},
	}}
	tests := map[string]struct {
		of   func(string) (netip.AddrPort, error)
		in   string
		want string
		err  string
	}{
		"only address":         {one.advertised, "", "192.0.2.7:2377", ""},
		"interface":            {one.advertised, "eth0", "192.0.2.7:2377", ""},
		"interface and port":   {one.advertised, "eth0:99", "192.0.2.7:99", ""},
		"address":              {one.advertised, "203.0.113.1", "203.0.113.1:2377", ""},
		"address and port":     {one.advertised, "203.0.113.1:5", "203.0.113.1:5", ""},
		"ipv6":                 {one.advertised, "2001:db8::1", "[2001:db8::1]:2377", ""},
		"ipv6 and port":        {one.advertised, "[2001:db8::1]:5", "[2001:db8::1]:5", ""},
		"several addresses":    {two.advertised, "", "", "several addresses"},
		"no such interface":    {one.advertised, "eth9", "", `"eth9" is neither`},
		"loopback only":        {one.advertised, "lo", "", "no address that others can reach"},
		"bad port":             {one.advertised, "eth0:x", "", `port "x"`},
		"unspecified":          {one.advertised, "0.0.0.0", "", "others cannot connect"},
		"listen by default":    {one.listening, "", "[::]:2377", ""},
		"listen on everything": {one.listening, "0.0.0.0:5", "0.0.0.0:5", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := tt.of(tt.in)
			switch {
			case tt.err != "":
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want one with %s", err, tt.err)
				}
			case err != nil || got.String() != tt.want:
				t.Errorf("got %v, %v, want %s", got, err, tt.want)
			}
		})
	}
}
