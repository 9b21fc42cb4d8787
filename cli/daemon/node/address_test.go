package node

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func TestAddresses(t *testing.T) {
	one := Host{Interfaces: map[string][]netip.Addr{
		"lo":   {netip.MustParseAddr("127.0.0.1")},
		"eth0": {netip.MustParseAddr("fe80::1"), netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7")},
	}}
	two := Host{Interfaces: map[string][]netip.Addr{
		"eth0": {netip.MustParseAddr("192.0.2.7")}, "eth1": {netip.MustParseAddr("198.51.100.7")},
	}}
	advertised := func(h Host) func(string) (netip.AddrPort, error) {
		return func(s string) (netip.AddrPort, error) { return h.advertised(s, 2377) }
	}
	tests := map[string]struct {
		of   func(string) (netip.AddrPort, error)
		in   string
		want string
		err  string
	}{
		"only address":         {advertised(one), "", "192.0.2.7:2377", ""},
		"interface":            {advertised(one), "eth0", "192.0.2.7:2377", ""},
		"interface and port":   {advertised(one), "eth0:99", "192.0.2.7:99", ""},
		"address":              {advertised(one), "203.0.113.1", "203.0.113.1:2377", ""},
		"address and port":     {advertised(one), "203.0.113.1:5", "203.0.113.1:5", ""},
		"ipv6":                 {advertised(one), "2001:db8::1", "[2001:db8::1]:2377", ""},
		"ipv6 and port":        {advertised(one), "[2001:db8::1]:5", "[2001:db8::1]:5", ""},
		"several addresses":    {advertised(two), "", "", "several addresses ([192.0.2.7 198.51.100.7])"},
		"no such interface":    {advertised(one), "eth9", "", `"eth9" is neither`},
		"loopback only":        {advertised(one), "lo", "", "no address that others can reach"},
		"bad port":             {advertised(one), "eth0:x", "", `port "x"`},
		"unspecified":          {advertised(one), "0.0.0.0", "", "others cannot connect"},
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

func TestMemberAddresses(t *testing.T) {
	h := Host{Interfaces: map[string][]netip.Addr{
		"eth0": {netip.MustParseAddr("192.0.2.7")}, "eth1": {netip.MustParseAddr("198.51.100.7")},
	}}
	tests := map[string]struct {
		advertise, listen, dataPath string
		want                        string // advertised, listened on, tunnel end
		err                         string
	}{
		"address":                    {"192.0.2.7", "", "", "192.0.2.7:2377 [::]:2377 192.0.2.7", ""},
		"advertised port":            {"192.0.2.7:5", "", "", "192.0.2.7:5 [::]:5 192.0.2.7", ""},
		"port to listen on":          {"192.0.2.7", "0.0.0.0:5", "", "192.0.2.7:5 0.0.0.0:5 192.0.2.7", ""},
		"two ports":                  {"192.0.2.7:6", "eth0:5", "", "192.0.2.7:6 192.0.2.7:5 192.0.2.7", ""},
		"tunnel elsewhere":           {"eth0", "", "eth1", "192.0.2.7:2377 [::]:2377 198.51.100.7", ""},
		"router's address":           {"203.0.113.1", "", "eth0", "203.0.113.1:2377 [::]:2377 192.0.2.7", ""},
		"nobody's address":           {"203.0.113.1", "", "", "", "--advertise-addr 203.0.113.1 is on no interface"},
		"tunnel on nobody's address": {"192.0.2.7", "", "203.0.113.1", "", "--data-path-addr 203.0.113.1 is on no interface"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s, err := addresses(h, tt.advertise, tt.listen, tt.dataPath)
			if tt.err != "" {
				if err == nil || !strings.HasPrefix(err.Error(), tt.err) {
					t.Errorf("error %v, want %s", err, tt.err)
				}
				return
			}
			if got := fmt.Sprint(s.Advertise, s.Listen, s.DataPath); err != nil || got != tt.want {
				t.Errorf("got %s, %v, want %s", got, err, tt.want)
			}
		})
	}
}
