package gossip

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/hashicorp/memberlist"
)

// told is a node as memberlist tells of it; state is the first byte of its metadata.
func told(id string, state byte) *memberlist.Node {
	return &memberlist.Node{Name: id, Addr: net.IPv4(192, 0, 2, id[0]), Port: DefaultPort, Meta: []byte{state, 'm'}}
}

// What happened to node b is read as a word each.
func play(v *view, story string) {
	for word := range strings.FieldsSeq(story) {
		switch word {
		case "joins":
			v.NotifyJoin(told("b", staying))
		case "leaving":
			v.NotifyUpdate(told("b", leaving))
		case "gone":
			v.NotifyLeave(told("b", staying))
		case "left":
			v.NotifyLeave(told("b", leaving))
		case "silent":
			v.suspect("b")
		case "answers":
			v.NotifyPingComplete(told("b", staying), 0, nil)
		default:
			panic(word)
		}
	}
}

func TestWhatIsBelievedOfANode(t *testing.T) {
	tests := map[string]string{
		"joins":                      "alive",
		"joins silent":               "suspect",
		"joins silent answers":       "alive",
		"joins silent gone":          "dead",
		"joins gone":                 "dead",
		"joins gone answers":         "dead", // an answer that was on its way
		"joins gone silent":          "dead",
		"joins gone joins":           "alive",
		"joins left":                 "left",
		"joins leaving":              "alive", // until it is gone
		"joins leaving left":         "left",
		"joins leaving silent left":  "left",
		"joins left silent":          "left",
		"joins left joins":           "alive",
		"joins left joins gone":      "dead",
		"silent":                     "", // of nobody we know
		"answers":                    "",
		"joins silent silent":        "suspect",
		"joins silent gone joins":    "alive",
		"joins answers answers gone": "dead",
	}
	for story, want := range tests {
		t.Run(story, func(t *testing.T) {
			v := newView()
			play(v, story)
			got := ""
			if m, ok := v.members()["b"]; ok {
				got = m.Liveness.String()
			}
			if got != want {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

func TestSinceIsWhenItBecameSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, start := newView(), time.Now()
		since := func() time.Duration { return v.members()["b"].Since.Sub(start) }
		for _, step := range []struct {
			story string
			want  time.Duration
		}{
			{"joins", 0},
			{"answers", 0},
			{"silent", 2 * time.Second},
			{"silent", 2 * time.Second},
			{"answers", 4 * time.Second},
			{"leaving", 4 * time.Second},
			{"left", 6 * time.Second},
		} {
			play(v, step.story)
			if got := since(); got != step.want {
				t.Errorf("after it %s at %s it is so since %s, want %s", step.story, time.Since(start), got, step.want)
			}
			time.Sleep(time.Second)
		}
	})
}

// The reader is woken once for whatever changed, and not for what did not.
func TestChangesAreTold(t *testing.T) {
	v := newView()
	changed := func() bool {
		select {
		case <-v.changed:
			return true
		default:
			return false
		}
	}
	for _, step := range []struct {
		story string
		want  bool
	}{
		{"joins", true},
		{"answers", false},
		{"silent", true},
		{"silent", false},
		{"answers silent answers", true},
		{"leaving", true},
	} {
		play(v, step.story)
		if got := changed(); got != step.want {
			t.Errorf("%s: told %t, want %t", step.story, got, step.want)
		}
		if changed() {
			t.Errorf("%s: told twice", step.story)
		}
	}
}

func TestViewIsACopy(t *testing.T) {
	v := newView()
	node := told("b", staying)
	v.NotifyJoin(node)
	node.Meta[1] = 'x' // memberlist's own
	delete(v.members(), "b")
	if got := v.members()["b"]; string(got.Meta) != "m" || got.Addr != "192.0.2.98:7946" {
		t.Errorf("node b is %+v", got)
	}
}

// Only seeds at whose address nobody is alive are asked: not a node that is
// known under another name of the same address.
func TestSeedsToAsk(t *testing.T) {
	tests := map[string]struct {
		story string
		seeds []string
		want  string
		alone bool
	}{
		"nobody is known":    {"", []string{"192.0.2.98", "192.0.2.1:8000"}, "192.0.2.98:7946 192.0.2.1:8000", true},
		"b is alive":         {"joins", []string{"192.0.2.98", "192.0.2.1:8000"}, "192.0.2.1:8000", false},
		"at another port":    {"joins", []string{"192.0.2.98:8000"}, "192.0.2.98:8000", false},
		"b is suspect":       {"joins silent", []string{"192.0.2.98"}, "192.0.2.98:7946", true},
		"b is dead":          {"joins gone", []string{"192.0.2.98"}, "192.0.2.98:7946", true},
		"b left":             {"joins left", []string{"192.0.2.98"}, "192.0.2.98:7946", true},
		"IPv6 without port":  {"", []string{"2001:db8::1"}, "[2001:db8::1]:7946", true},
		"IPv6 with its port": {"", []string{"[2001:db8::1]:8000"}, "[2001:db8::1]:8000", true},
		"no seeds":           {"joins", nil, "", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			g, err := New(Config{ID: "a", Keys: [][]byte{key(1)}, Seeds: func() []string { return tt.seeds }})
			if err != nil {
				t.Fatal(err)
			}
			g.view.NotifyJoin(told("a", staying))
			play(g.view, tt.story)
			if got := strings.Join(g.absent(), " "); got != tt.want {
				t.Errorf("asked are %q, want %q", got, tt.want)
			}
			if got := g.view.alone(); got != tt.alone {
				t.Errorf("alone: %t, want %t", got, tt.alone)
			}
		})
	}
}

func TestNodeSaysInItsMetadataThatItLeaves(t *testing.T) {
	d := &delegate{meta: []byte("user's")}
	for _, leaves := range []bool{false, true} {
		d.leaving.Store(leaves)
		v := newView()
		node := told("b", staying)
		node.Meta = d.NodeMeta(memberlist.MetaMaxSize)
		v.NotifyJoin(node)
		if m := v.members()["b"]; m.leaving != leaves || string(m.Meta) != "user's" {
			t.Errorf("one that leaves (%t) is read as %+v", leaves, m)
		}
	}
	full := &delegate{meta: make([]byte, MaxMeta)}
	if got := len(full.NodeMeta(memberlist.MetaMaxSize)); got > memberlist.MetaMaxSize {
		t.Errorf("the most metadata takes %d bytes, the limit is %d", got, memberlist.MetaMaxSize)
	}
}

func TestLogLines(t *testing.T) {
	tests := map[string]string{ // whom a line is about that did not answer
		"[INFO] memberlist: Suspect n1 has failed, no acks received\n":  "n1",
		"[INFO] memberlist: Marking n1 as failed, suspect timeout\n":    "",
		"[WARN] memberlist: Was able to connect to n1 over TCP but UDP": "",
		"": "",
	}
	for line, want := range tests {
		var suspected string
		var out bytes.Buffer
		w := &logWriter{log: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})), suspect: func(id string) { suspected = id }}
		if n, err := w.Write([]byte(line)); n != len(line) || err != nil {
			t.Errorf("%q: %d bytes written, %v", line, n, err)
		}
		if suspected != want {
			t.Errorf("%q is about %q, want %q", line, suspected, want)
		}
		if !strings.Contains(out.String(), "level=DEBUG") || strings.Count(out.String(), "\n") != 1 {
			t.Errorf("%q is logged as %q", line, out.String())
		}
	}
}

// Unencrypted gossip does not exist, and keys that cannot be used change nothing.
func TestKeysThatCannotBeUsed(t *testing.T) {
	tests := map[string]struct {
		keys [][]byte
		ok   bool
	}{
		"none":                {nil, false},
		"an empty one":        {[][]byte{{}}, false},
		"too short":           {[][]byte{key(1)[:15]}, false},
		"the second is odd":   {[][]byte{key(1), key(2)[:20]}, false},
		"16 bytes":            {[][]byte{key(1)[:16]}, true},
		"24 bytes":            {[][]byte{key(1)[:24]}, true},
		"32 bytes and others": {[][]byte{key(1), key(2)[:16]}, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := New(Config{ID: "a", Keys: tt.keys}); (err == nil) != tt.ok || !tt.ok && !errdefs.IsInvalidArgument(err) {
				t.Errorf("begin with them: %v", err)
			}
			g, err := New(Config{ID: "a", Keys: [][]byte{key(9)}})
			if err != nil {
				t.Fatal(err)
			}
			if err := g.SetKeys(tt.keys); (err == nil) != tt.ok || !tt.ok && !errdefs.IsInvalidArgument(err) {
				t.Errorf("go on with them: %v", err)
			}
			want := [][]byte{key(9)}
			if tt.ok {
				want = tt.keys
			}
			if got := g.keys.GetKeys(); len(got) != len(want) || !bytes.Equal(g.keys.GetPrimaryKey(), want[0]) {
				t.Errorf("it has %d keys, of which %x encrypts; want %d and %x", len(got), g.keys.GetPrimaryKey(), len(want), want[0])
			}
		})
	}
}
