package gossip

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
)

// network is a network in memory and the nodes on it.
type network struct {
	t     *testing.T
	wires wires
	addrs []string
}

type member struct {
	*Gossip
	wire *wire
	stop func()
}

// start starts a node that knows the nodes started before.
func (n *network) start(id, label string, keys ...[]byte) member {
	n.t.Helper()
	w := n.wires.add()
	known := append([]string(nil), n.addrs...)
	n.addrs = append(n.addrs, w.addr())
	g, err := New(Config{
		ID: id, Label: label, Keys: keys, Meta: []byte("meta of " + id), Transport: w,
		Advertise: w.ip.String(),
		Seeds:     func() []string { return known },
		Log:       slog.New(slog.NewTextHandler(n.t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})).With("on", id),
	})
	if err != nil {
		n.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			n.t.Errorf("run %s: %v", id, err)
		}
	})
	return member{g, w, stop}
}

func sees(g member) string {
	var parts []string
	for _, id := range []string{"a", "b", "c"} {
		if m, ok := g.View()[id]; ok {
			parts = append(parts, id+" "+m.Liveness.String())
		}
	}
	return strings.Join(parts, ", ")
}

// eventually waits on the bubble's clock.
func eventually(t *testing.T, within time.Duration, g member, want string) time.Duration {
	t.Helper()
	start := time.Now()
	for time.Since(start) < within {
		if sees(g) == want {
			return time.Since(start)
		}
		time.Sleep(100 * time.Millisecond) // moves the fake clock
	}
	t.Errorf("after %s %s sees %q, want %q", within, g.cfg.ID, sees(g), want)
	return within
}

func key(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func bubble(t *testing.T, f func(n *network)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f(&network{t: t})
		time.Sleep(time.Minute) // memberlist's probes under way end by themselves
	})
}

func TestLife(t *testing.T) {
	bubble(t, func(n *network) {
		a, b, c := n.start("a", "x", key(1)), n.start("b", "x", key(1)), n.start("c", "x", key(1))
		defer a.stop()
		defer b.stop()
		defer c.stop()
		for _, g := range []member{a, b, c} {
			eventually(t, 5*time.Second, g, "a alive, b alive, c alive")
		}
		if diff := cmp.Diff("meta of c", string(a.View()["c"].Meta)); diff != "" {
			t.Errorf("metadata (-want +got):\n%s", diff)
		}
		<-a.Changed()

		c.wire.set(true) // c no longer answers
		d := eventually(t, 5*time.Second, a, "a alive, b alive, c suspect")
		<-a.Changed()
		d += eventually(t, 20*time.Second, a, "a alive, b alive, c dead")
		t.Logf("dead after %s", d)

		c.wire.set(false) // it asks its seeds, and is back
		for _, g := range []member{a, b, c} {
			eventually(t, 60*time.Second, g, "a alive, b alive, c alive")
		}

		c.stop()
		eventually(t, 5*time.Second, a, "a alive, b alive, c left")
		eventually(t, 5*time.Second, b, "a alive, b alive, c left")
	})
}

func TestSuspicionPasses(t *testing.T) {
	bubble(t, func(n *network) {
		a, b := n.start("a", "x", key(1)), n.start("b", "x", key(1))
		defer a.stop()
		defer b.stop()
		eventually(t, 5*time.Second, a, "a alive, b alive")
		b.wire.set(true)
		eventually(t, 5*time.Second, a, "a alive, b suspect")
		b.wire.set(false)
		eventually(t, 5*time.Second, a, "a alive, b alive")
	})
}

func TestStrangers(t *testing.T) {
	tests := map[string]struct {
		label string
		key   []byte
	}{
		"wrong key":       {"x", key(2)},
		"another cluster": {"y", key(1)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(n *network) {
				a, b := n.start("a", "x", key(1)), n.start("b", tt.label, tt.key)
				defer a.stop()
				defer b.stop()
				time.Sleep(time.Minute) // of the fake clock
				if got := sees(a); got != "a alive" {
					t.Errorf("a sees %q, want itself only", got)
				}
				if got := sees(b); got != "b alive" {
					t.Errorf("b sees %q, want itself only", got)
				}
			})
		})
	}
}

func TestRotation(t *testing.T) {
	bubble(t, func(n *network) {
		a, b := n.start("a", "x", key(1)), n.start("b", "x", key(1))
		defer a.stop()
		defer b.stop()
		eventually(t, 5*time.Second, a, "a alive, b alive")
		eventually(t, 5*time.Second, b, "a alive, b alive")
		for _, keys := range [][][]byte{{key(1), key(2)}, {key(2), key(1)}, {key(2)}} {
			for _, g := range []member{a, b} {
				if err := g.SetKeys(keys); err != nil {
					t.Fatal(err)
				}
				for range 50 { // some probes with only one of both changed
					time.Sleep(100 * time.Millisecond)
					if sees(a) != "a alive, b alive" || sees(b) != "a alive, b alive" {
						t.Fatalf("while rotating a sees %q, b sees %q", sees(a), sees(b))
					}
				}
			}
		}
		old := n.start("c", "x", key(1))
		defer old.stop()
		time.Sleep(10 * time.Second)
		if got := sees(a); got != "a alive, b alive" {
			t.Errorf("with the old key c came in: a sees %q", got)
		}
		young := n.start("c", "x", key(2))
		defer young.stop()
		eventually(t, 10*time.Second, a, "a alive, b alive, c alive")
	})
}

func TestInvalid(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no id":         {Keys: [][]byte{key(1)}},
		"no key":        {ID: "a"},
		"short key":     {ID: "a", Keys: [][]byte{{1, 2, 3}}},
		"much metadata": {ID: "a", Keys: [][]byte{key(1)}, Meta: make([]byte, MaxMeta+1)},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := New(cfg); !errdefs.IsInvalidArgument(err) {
				t.Errorf("New gave %v, want an invalid argument", err)
			}
		})
	}
	g, err := New(Config{ID: "a", Keys: [][]byte{key(1)}})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.SetKeys(nil); !errdefs.IsInvalidArgument(err) {
		t.Errorf("SetKeys(nil) gave %v, want an invalid argument", err)
	}
}
