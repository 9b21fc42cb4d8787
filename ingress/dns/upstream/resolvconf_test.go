package upstream

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

func TestChoose(t *testing.T) {
	for name, tt := range map[string]struct{ conf, resolved, want string }{
		"as listed":         {"search a.example\n# comment\nnameserver 192.0.2.1\nnameserver\t2001:db8::1\n", "", "[192.0.2.1:53 [2001:db8::1]:53]"},
		"twice":             {"nameserver 192.0.2.1\nnameserver 192.0.2.1", "", "[192.0.2.1:53]"},
		"zone":              {"nameserver fe80::1%eth0", "", "[[fe80::1%eth0]:53]"},
		"stub":              {"nameserver 127.0.0.53\noptions edns0", "nameserver 192.0.2.7\nnameserver 192.0.2.8", "[192.0.2.7:53 192.0.2.8:53]"},
		"stub without file": {"nameserver 127.0.0.53", "", "[127.0.0.53:53]"},
		"stub and another":  {"nameserver 127.0.0.53\nnameserver 192.0.2.1", "nameserver 192.0.2.7", "[192.0.2.1:53 192.0.2.7:53]"},
		"of the node's own": {"nameserver 127.0.0.1", "nameserver 192.0.2.7", "[127.0.0.1:53]"},
		"none":              {"nameserver nonsense\nnameserver", "nameserver 192.0.2.7", "[8.8.8.8:53 8.8.4.4:53]"},
	} {
		if got := fmt.Sprint(choose(tt.conf, tt.resolved)); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

// TestNodesServers: a client that names no server has the node's, from the
// node's namespace, as they are now.
func TestNodesServers(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "resolv.conf")
	write := func(content string) {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("nameserver 192.0.2.1")
	synctest.Test(t, func(t *testing.T) {
		r := resolvConf{path: path}
		expect := func(want string) {
			if got := r.servers(time.Now()); len(got) != 1 || got[0] != netip.MustParseAddrPort(want) {
				t.Errorf("the node's servers are %v, want %s", got, want)
			}
		}
		expect(first)
		write("nameserver 192.0.2.2\n")
		expect(first) // it is looked at once a second
		time.Sleep(lookPeriod)
		expect(second)
	})
	s := &servers{says: map[string]func(string, *dns.Msg) []*dns.Msg{second: always(dns.RcodeSuccess, "example.com. 60 A 192.0.2.9")}}
	bubble(t, s, Config{Resolv: path}, func(fw *Forwarder) {
		for _, client := range []string{"a", "b"} {
			if m, _ := ask(t, fw, Source{Client: client, Netns: client}, query("example.com.", dns.TypeA)); len(m.Answer) != 1 {
				t.Errorf("answer %v", m)
			}
		}
		if asked := s.took(); len(asked) != 1 || asked[0] != " "+second+" udp" {
			t.Errorf("asked %q, want the second, once, from the node's namespace", asked)
		}
	})
}
