package ingress

import (
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	type look struct {
		took     time.Duration
		repaired bool
	}
	const ms = time.Millisecond
	tests := map[string]struct {
		looks []look
		after time.Duration // the end of the last look
		want  time.Duration
	}{
		"before the first look":          {nil, 0, settle},
		"a look finds nothing":           {[]look{{ms, false}}, 0, 100 * ms},
		"some of the rest is over":       {[]look{{ms, false}}, 60 * ms, 40 * ms},
		"all of it":                      {[]look{{ms, false}}, time.Hour, settle},
		"a repair":                       {[]look{{ms, true}}, 0, 100 * ms},
		"repairs that are undone":        {[]look{{ms, true}, {ms, true}, {ms, true}}, 0, 400 * ms},
		"not for ever":                   {[]look{{ms, true}, {ms, true}, {ms, true}, {ms, false}}, 0, 100 * ms},
		"looking is a tenth of the time": {[]look{{50 * ms, false}}, 0, 450 * ms},
		"never longer than a retry":      {[]look{{time.Minute, true}}, 0, maxRetry},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var p pace
			now := time.Now()
			for _, l := range tt.looks {
				end := now.Add(l.took)
				p.looked(now, end, l.repaired)
				now = end
			}
			if got := p.wait(now.Add(tt.after)); got != tt.want {
				t.Errorf("waits %s, want %s", got, tt.want)
			}
		})
	}
}

// TestRest: changes one after the other take half of the time, and never stand still for long.
func TestRest(t *testing.T) {
	for took, want := range map[time.Duration]time.Duration{
		0: leastRest, time.Microsecond: leastRest, 50 * time.Millisecond: 50 * time.Millisecond, time.Minute: mostRest,
	} {
		if got := rest(took); got != want {
			t.Errorf("after %s it rests %s, want %s", took, got, want)
		}
	}
}

// TestSpent: what applying takes of a core is known, and not how long it waited for one.
func TestSpent(t *testing.T) {
	l := newLab(t, 1, false)
	p := l.nodes[0].plane
	began := time.Now()
	l.apply()
	if spent, took := time.Duration(p.spent.Load()), time.Since(began); spent <= 0 || spent > took {
		t.Errorf("%s of a core in %s", spent, took)
	}
}
