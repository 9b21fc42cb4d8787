package upstream

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// lookPeriod is how old what is known of the node's servers may be.
const lookPeriod = time.Second

// resolvConf knows the node's servers.
type resolvConf struct {
	path, resolved string

	mu     sync.Mutex
	looked time.Time
	stamps [2]stamp
	known  []netip.AddrPort
}

// stamp tells versions of a file apart.
type stamp struct {
	size    int64
	changed time.Time
}

// servers returns the node's servers; it looks at the files at most once a
// second, and reads them when they changed.
func (r *resolvConf) servers(now time.Time) []netip.AddrPort {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known != nil && now.Sub(r.looked) < lookPeriod {
		return r.known
	}
	r.looked = now
	stamps := [2]stamp{stampOf(r.path), stampOf(r.resolved)}
	if r.known == nil || stamps != r.stamps {
		r.stamps = stamps
		r.known = choose(content(r.path), content(r.resolved))
	}
	return r.known
}

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	return stamp{info.Size(), info.ModTime()}
}

func content(path string) string {
	raw, _ := os.ReadFile(path)
	return string(raw)
}

// choose returns the servers that a resolv.conf names; those of resolved in
// place of systemd-resolved's stub, if it has any; Docker's fallback where there
// are none. One on a loopback address is the node's own, and can be asked from
// the node's namespace.
func choose(conf, resolved string) []netip.AddrPort {
	servers := parse(conf)
	stub := func(a netip.AddrPort) bool {
		return a.Addr() == netip.AddrFrom4([4]byte{127, 0, 0, 53}) || a.Addr() == netip.AddrFrom4([4]byte{127, 0, 0, 54})
	}
	if real := parse(resolved); slices.ContainsFunc(servers, stub) && len(real) > 0 {
		servers = append(slices.DeleteFunc(servers, stub), real...)
	}
	if len(servers) == 0 {
		servers = parse("nameserver 8.8.8.8\nnameserver 8.8.4.4")
	}
	return servers
}

func parse(conf string) (servers []netip.AddrPort) {
	for line := range strings.Lines(conf) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "nameserver" {
			continue
		}
		addr, err := netip.ParseAddr(words[1])
		if s := netip.AddrPortFrom(addr, 53); err == nil && !slices.Contains(servers, s) {
			servers = append(servers, s)
		}
	}
	return servers
}
