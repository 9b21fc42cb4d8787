package ingress

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// many publishes ports with three endpoints each on one other node.
func many(self Node, ports int) *Want {
	w := &Want{
		Self:     self,
		Nodes:    []Node{{ID: "other", Index: 2, Underlay: netip.MustParseAddr("10.77.0.102"), Attachments: attached()}},
		Networks: networks("10.88.0.0/13"),
	}
	a := netip.MustParseAddr("10.88.0.1")
	for i := range ports {
		p := Port{Protocol: unix.IPPROTO_TCP, Published: uint16(1000 + i)}
		for range 3 {
			p.Endpoints = append(p.Endpoints, Endpoint{Addr4: netip.AddrPortFrom(a, 80)})
			w.Nodes[0].Attachments[0].Addrs = append(w.Nodes[0].Attachments[0].Addrs, a)
			a = a.Next()
		}
		w.Ports = append(w.Ports, p)
	}
	return w
}

// TestMany reads back 21,000 endpoints: the library must not lose any.
func TestMany(t *testing.T) {
	l := newLab(t, 1, false)
	n := l.nodes[0]
	n.plane.Set(many(n.Node, 7000))
	if err := n.plane.apply(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if lines := l.diff(0); len(lines) > 0 {
		t.Errorf("%d differences, the first: %s", len(lines), lines[0])
	}
}

func BenchmarkApply(b *testing.B) {
	for _, ports := range []int{100, 6667} {
		b.Run(fmt.Sprintf("endpoints=%d/whole", 3*ports), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				l := newLab(b, 1, false)
				n := l.nodes[0]
				n.plane.Set(many(n.Node, ports))
				b.StartTimer()
				if err := n.plane.apply(b.Context(), false); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("endpoints=%d/one", 3*ports), func(b *testing.B) {
			l := newLab(b, 1, false)
			n := l.nodes[0]
			with, without := many(n.Node, ports), many(n.Node, ports-1)
			for b.Loop() {
				with, without = without, with
				n.plane.Set(with)
				if err := n.plane.apply(b.Context(), false); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("endpoints=%d/compare", 3*ports), func(b *testing.B) {
			l := newLab(b, 1, false)
			n := l.nodes[0]
			n.plane.Set(many(n.Node, ports))
			for b.Loop() {
				if err := n.plane.apply(b.Context(), true); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestChurn changes ports and endpoints at random, each time by the
// difference only, and compares the kernel with the whole.
func TestChurn(t *testing.T) {
	l := newLab(t, 1, false)
	n := l.nodes[0]
	rng := rand.New(rand.NewPCG(1, 2))
	w := many(n.Node, 40)
	for step := range 60 {
		next := *w
		next.Ports = nil
		for _, p := range w.Ports {
			switch k := rng.IntN(6); {
			case k < 4:
				p.Endpoints = p.Endpoints[:k] // none to three
			case k == 4:
				continue
			}
			next.Ports = append(next.Ports, p)
		}
		n.plane.Set(&next)
		if err := n.plane.apply(t.Context(), false); err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
		if lines := l.diff(0); len(lines) > 0 {
			t.Fatalf("step %d: the kernel differs: %q", step, lines)
		}
	}
}
