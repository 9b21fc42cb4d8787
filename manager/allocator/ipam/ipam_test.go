package ipam

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"pgregory.net/rapid"
)

func pool(t *testing.T, prefixes ...string) *Pool {
	t.Helper()
	p, err := ParsePool(prefixes)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// take gives n addresses as text, "-" where there is none.
func take(p *Pool, n int) string {
	var out []string
	for range n {
		exhausted := p.IsExhausted()
		addrs, ok := p.Next()
		if exhausted == ok {
			out = append(out, "?")
		}
		if !ok {
			out = append(out, "-")
			continue
		}
		out = append(out, strings.Trim(fmt.Sprint(addrs), "[]"))
	}
	return strings.Join(out, ", ")
}

func TestNext(t *testing.T) {
	tests := map[string]struct {
		prefixes []string
		used     []string
		last     string
		n        int
		want     string
	}{
		"skips network, first and broadcast": {[]string{"10.0.0.0/29"}, nil, "", 6, "10.0.0.2, 10.0.0.3, 10.0.0.4, 10.0.0.5, 10.0.0.6, -"},
		"skips the used":                     {[]string{"10.0.0.0/29"}, []string{"10.0.0.2", "10.0.0.4"}, "", 4, "10.0.0.3, 10.0.0.5, 10.0.0.6, -"},
		"walks on and starts over":           {[]string{"10.0.0.0/29"}, []string{"10.0.0.5"}, "10.0.0.5", 3, "10.0.0.6, 10.0.0.2, 10.0.0.3"},
		"both families, one number":          {[]string{"10.0.0.0/29", "fd00::/64"}, []string{"10.0.0.2", "fd00::3"}, "", 2, "10.0.0.4 fd00::4, 10.0.0.5 fd00::5"},
		"the smaller prefix ends it":         {[]string{"10.0.0.0/30", "fd00::/64"}, nil, "", 2, "10.0.0.2 fd00::2, -"},
		"IPv6 has no broadcast":              {[]string{"fd00::/126"}, nil, "", 3, "fd00::2, fd00::3, -"},
		"foreign addresses do not matter":    {[]string{"10.0.0.0/30"}, []string{"10.0.1.2", "fd00::2"}, "192.0.2.1", 1, "10.0.0.2"},
		"a prefix in the middle of a word":   {[]string{"10.0.0.96/27"}, []string{"10.0.0.98"}, "", 1, "10.0.0.99"},
		"far beyond the end of the set":      {[]string{"10.0.0.0/30", "fd00::/16"}, []string{"fd00:0:0:1::2"}, "", 1, "10.0.0.2 fd00::2"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := pool(t, tt.prefixes...)
			for _, a := range tt.used {
				p.Use(netip.MustParseAddr(a))
			}
			if tt.last != "" {
				p.Walk(netip.MustParseAddr(tt.last))
			}
			if got := take(p, tt.n); got != tt.want {
				t.Errorf("took %s, want %s", got, tt.want)
			}
		})
	}
}

func TestNewPoolRefuses(t *testing.T) {
	for _, prefixes := range [][]string{nil, {"10.0.0.0/31"}, {"10.0.0.0/32"}, {"10.0.0.0"}, {"fd00::/127"}, {"10.0.0.0/16", "fd00::/128"}} {
		if _, err := ParsePool(prefixes); !errdefs.IsInvalidArgument(err) {
			t.Errorf("ParsePool(%q) = %v, want an invalid argument", prefixes, err)
		}
	}
}

// No address is given twice until it is free again, and none is withheld
// while one is free.
func TestNextProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bits := rapid.IntRange(22, 30).Draw(t, "bits")
		p, err := ParsePool([]string{fmt.Sprintf("10.1.0.0/%d", bits)})
		if err != nil {
			t.Fatal(err)
		}
		size := 1<<(32-bits) - 3
		used := make(map[netip.Addr]bool)
		for range rapid.IntRange(0, size).Draw(t, "used") {
			a := offset(netip.MustParseAddr("10.1.0.0"), uint32(rapid.IntRange(2, size+1).Draw(t, "host")))
			p.Use(a)
			used[a] = true
		}
		p.Walk(offset(netip.MustParseAddr("10.1.0.0"), uint32(rapid.IntRange(2, size+1).Draw(t, "last"))))
		for len(used) < size {
			addrs, ok := p.Next()
			if !ok {
				t.Fatalf("nothing left with %d of %d used", len(used), size)
			}
			if used[addrs[0]] {
				t.Fatalf("%s given twice", addrs[0])
			}
			used[addrs[0]] = true
		}
		if addrs, ok := p.Next(); ok {
			t.Fatalf("got %s from a full pool", addrs)
		}
	})
}

func TestCut(t *testing.T) {
	tests := map[string]struct {
		pool string
		bits int
		used []string
		want string
	}{
		"the first":                {"10.0.0.0/8", 16, nil, "10.0.0.0/16"},
		"behind the used":          {"10.0.0.0/8", 16, []string{"10.0.0.0/16", "10.1.0.0/24"}, "10.2.0.0/16"},
		"a gap":                    {"10.0.0.0/8", 16, []string{"10.0.0.0/16", "10.2.0.0/16"}, "10.1.0.0/16"},
		"behind a larger one":      {"10.0.0.0/8", 24, []string{"10.0.0.0/12"}, "10.16.0.0/24"},
		"others do not matter":     {"10.0.0.0/8", 16, []string{"192.168.0.0/16"}, "10.0.0.0/16"},
		"none left":                {"10.0.0.0/15", 16, []string{"10.0.0.0/16", "10.1.3.0/24"}, ""},
		"longer than an address":   {"10.0.0.0/8", 33, nil, ""},
		"shorter than the pool":    {"10.0.0.0/8", 7, nil, ""},
		"IPv6":                     {"fd00::/48", 64, []string{"fd00::/64"}, "fd00:0:0:1::/64"},
		"the end of all addresses": {"255.255.0.0/16", 17, []string{"255.255.0.0/16"}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var used []netip.Prefix
			for _, u := range tt.used {
				used = append(used, netip.MustParsePrefix(u))
			}
			got, err := Cut(netip.MustParsePrefix(tt.pool), tt.bits, used)
			if tt.want == "" {
				if err == nil {
					t.Errorf("got %s, want an error", got)
				}
				return
			}
			if err != nil || got.String() != tt.want {
				t.Errorf("got %s, %v, want %s", got, err, tt.want)
			}
		})
	}
}
