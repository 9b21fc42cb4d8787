package constraint

import (
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

func node() *clusterpb.Node {
	return &clusterpb.Node{
		Id:   "n1",
		Role: clusterpb.NodeRole_NODE_ROLE_MANAGER,
		Spec: &clusterpb.NodeSpec{Labels: map[string]string{"zone": "A", "Rack": "7"}},
		Description: &clusterpb.NodeDescription{
			Hostname: "alpha",
			Platform: &clusterpb.Platform{Os: "linux", Architecture: "amd64"},
			Labels:   map[string]string{"disk": "ssd"},
		},
		Status: &clusterpb.NodeStatus{Addr: "192.0.2.7"},
	}
}

func TestMatch(t *testing.T) {
	for s, want := range map[string]bool{
		"node.id==n1":                        true,
		"node.id != n1":                      false,
		"node.hostname==ALPHA":               true,
		"node.hostname==alph":                false,
		"node.ip==192.0.2.7":                 true,
		"node.ip==192.0.2.0/24":              true,
		"node.ip!=192.0.2.0/24":              false,
		"node.ip==::ffff:192.0.2.7":          true,
		"node.ip==2001:db8::/32":             false,
		"node.ip!=2001:db8::/32":             true,
		"node.role==manager":                 true,
		"node.role==Worker":                  false,
		"node.platform.os==linux":            true,
		"node.platform.arch==x86_64":         true,
		"node.platform.arch==amd64":          true,
		"node.platform.arch==aarch64":        false,
		"node.labels.zone==a":                true,
		"node.labels.Zone==a":                false, // keys keep their case
		"node.labels.rack!=7":                true,
		"node.labels.Rack==7":                true,
		"node.labels.missing!=x":             true,
		"engine.labels.disk==ssd":            true,
		"engine.labels.com.example/disk!=x":  true,
		"  engine.labels.disk   ==   ssd   ": true,
	} {
		c, err := Parse(s)
		if err != nil {
			t.Errorf("Parse(%q): %v", s, err)
			continue
		}
		if got := c.Match(node()); got != want {
			t.Errorf("%q matches: %v, want %v", s, got, want)
		}
	}
}

func TestNodeAddressWithPort(t *testing.T) {
	n := node()
	n.Status.Addr = "[2001:db8::1]:4242"
	c, err := Parse("node.ip==2001:db8::/64")
	if err != nil {
		t.Fatal(err)
	}
	if !c.Match(n) {
		t.Error("an address with a port does not match its prefix")
	}
	n.Status.Addr = ""
	if c.Match(n) {
		t.Error("a node without an address matches")
	}
}

func TestParseRefuses(t *testing.T) {
	for s, want := range map[string]string{
		"":                       "want KEY==VALUE",
		"node.id":                "want KEY==VALUE",
		"node.id=n1":             "want KEY==VALUE",
		"node.id==":              "bad value",
		"node.name==a":           `unknown key "node.name"`,
		"node.labels.==a":        "unknown key",
		"node.labels.zone==a,b":  "bad value",
		"node.role==leader":      "want manager or worker",
		"node.ip==192.0.2.0/33":  "want an IP address or prefix",
		"node.ip==somewhere":     "want an IP address or prefix",
		"NODE.ID==n1":            "unknown key",
		"node.labels.zo ne==a":   "unknown key",
		"node.labels.a==b; rm x": "bad value",
	} {
		_, err := Parse(s)
		if !errdefs.IsInvalidArgument(err) {
			t.Errorf("Parse(%q) = %v, want an invalid argument", s, err)
			continue
		}
		if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("Parse(%q) says %q, want one line with %q", s, err, want)
		}
	}
}

func TestParseAll(t *testing.T) {
	list, err := ParseAll([]string{"node.role==manager", "node.labels.zone!=b"})
	if err != nil {
		t.Fatal(err)
	}
	n := node()
	if !MatchAll(list, n) {
		t.Error("the node meets both and does not match")
	}
	n.Spec.Labels["zone"] = "B"
	if MatchAll(list, n) {
		t.Error("the node breaks one and matches")
	}
	if _, err := ParseAll([]string{"node.role==manager", "x==y"}); err == nil {
		t.Error("a bad one in the list was taken")
	}
}

func TestParseSpread(t *testing.T) {
	for key, want := range map[string]bool{
		"node.labels.zone":   true,
		"engine.labels.rack": true,
		"node.hostname":      false,
		"node.labels.":       false,
		"":                   false,
	} {
		if err := ParseSpread(key); (err == nil) != want {
			t.Errorf("ParseSpread(%q) = %v", key, err)
		}
	}
}

// FuzzParse: what parses prints as what parses to the same, and matching
// never panics; == and != are opposites.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"node.id==a", "node.ip!=10.0.0.0/8", "engine.labels.a.b == c d", "node.role==worker", "==", "!=x", "node.ip==fe80::1%eth0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := Parse(s)
		if err != nil {
			if !errdefs.IsInvalidArgument(err) {
				t.Fatalf("Parse(%q): %v is not an invalid argument", s, err)
			}
			return
		}
		again, err := Parse(c.String())
		if err != nil || again != c {
			t.Fatalf("Parse(%q) = %#v, but its text %q gives %#v, %v", s, c, c.String(), again, err)
		}
		opposite := c
		opposite.Not = !c.Not
		if c.Match(node()) == opposite.Match(node()) {
			t.Fatalf("%q and its opposite agree", s)
		}
	})
}
