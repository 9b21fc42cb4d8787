package soak

import (
	"slices"
	"testing"
	"time"

	"github.com/muster/muster/integration/nodes"
)

// growth is how much more memory the daemons may hold at the end than in the
// second quarter of the run. While they warm up, they may hold half as much more.
const (
	growth   = 1.10
	warmth   = 1.50
	warmedUp = 20 * time.Minute
)

// memory is what the daemons held together after each action, in bytes.
type memory struct{ samples []int64 }

func (m *memory) sample(t *testing.T, all []*nodes.Node) {
	t.Helper()
	var sum int64
	for _, n := range all {
		p, err := n.Process("muster", "daemon")
		if err != nil {
			t.Fatal(err)
		}
		rss, err := p.RSS()
		if err != nil {
			t.Fatal(err)
		}
		sum += rss
	}
	m.samples = append(m.samples, sum)
}

// flat compares the second quarter of the run with the last.
func (m *memory) flat(t *testing.T, length time.Duration) {
	t.Helper()
	most := growth
	if length < warmedUp {
		most = warmth
	}
	quarter := len(m.samples) / 4
	if quarter == 0 {
		t.Logf("%d samples are too few to say that memory does not grow", len(m.samples))
		return
	}
	was, is := median(m.samples[quarter:2*quarter]), median(m.samples[len(m.samples)-quarter:])
	t.Logf("the daemons held %d MiB together, then %d MiB", was>>20, is>>20)
	if float64(is) > most*float64(was) {
		t.Errorf("memory of the daemons grew from %d MiB to %d MiB: %v", was>>20, is>>20, m.samples)
	}
}

func median(of []int64) int64 {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2]
}
