package ruleset

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/nftables"
)

// What is read from the kernel is told apart by tags alone: a rule that does
// something else must have another.
func TestTagTellsRulesApart(t *testing.T) {
	base := Names{Overlay: "mu0", Tasks: "mt*", MarkTag: 0x1000, MarkTagMask: 0xff00ffff, VNI: 1, VXLANPort: 4789}
	changes := map[string]struct {
		change func(*Names)
		chains []string // that differ then
	}{
		"nothing":            {func(*Names) {}, nil},
		"the overlay device": {func(n *Names) { n.Overlay = "mu1" }, []string{"forget", "forward", "guard", "input", "outbound", "remember"}},
		"the tasks' devices": {func(n *Names) { n.Tasks = "mv*" }, []string{"forward", "guard", "input", "outbound", "remember"}},
		"the marks":          {func(n *Names) { n.MarkTag = 0xff }, []string{"forget", "remember"}},
		"the network":        {func(n *Names) { n.VNI = 2 }, []string{"input"}},
		"no pick-up":         {func(n *Names) { n.NoPickup = true }, []string{"input"}},
		"the tunnel's port":  {func(n *Names) { n.VXLANPort = 8472 }, []string{"forward", "guard", "input", "untracked"}},
	}
	for name, tt := range changes {
		t.Run(name, func(t *testing.T) {
			other := base
			tt.change(&other)
			a, b := New(nftables.TableFamilyIPv4, base), New(nftables.TableFamilyIPv4, other)
			var differ []string
			for chain := range a.Chains {
				if chainDiffers(chain, a.Chains[chain], b.Chains[chain]) != "" {
					differ = append(differ, chain)
				}
			}
			slices.Sort(differ)
			if !slices.Equal(differ, tt.chains) {
				t.Errorf("chains %v differ, want %v", differ, tt.chains)
			}
		})
	}
}

func TestBalancersOfOtherNumbersDiffer(t *testing.T) {
	f := familyOf(nftables.TableFamilyIPv4)
	if chainDiffers("d", balancer(f, 2), balancer(f, 3)) == "" {
		t.Error("a balancer of two passes for one of three")
	}
	if why := chainDiffers("d", balancer(f, 2), balancer(f, 2)); why != "" {
		t.Errorf("two balancers of two differ: %s", why)
	}
}

// The tag is the comment that nft shows, of which the kernel keeps 128 bytes.
func TestEveryRuleSaysWhyItIsThere(t *testing.T) {
	for fam, mesh := range node() {
		for _, table := range []*Table{mesh, NewZones(fam, names)} {
			for name, c := range table.Chains {
				for i, r := range c.Rules {
					why, digest, ok := strings.Cut(r.Tag, " [")
					if !ok || why == "" || len(digest) != 9 || len(r.Tag) > 120 {
						t.Errorf("rule %d of chain %s is called %q", i, name, r.Tag)
					}
				}
			}
		}
	}
}

func TestZonesAreTheOverlaysAlone(t *testing.T) {
	for _, fam := range families {
		a, other := NewZones(fam, names), names
		if a.Name == Mesh || len(a.Chains) != 1 || len(a.Sets) != 0 {
			t.Errorf("the table %s has %d chains and %d sets", a.Name, len(a.Chains), len(a.Sets))
		}
		other.VNI, other.VXLANPort, other.MarkTag, other.Tasks = 9, 9, 9, "x*"
		if c := Diff(a, NewZones(fam, other)); c.Len() != 0 {
			t.Errorf("it changes with what it does not depend on: %v", c.Rebuild)
		}
		other.Overlay = "mu1"
		if c := Diff(a, NewZones(fam, other)); c.Rebuild == "" {
			t.Error("another overlay is no change")
		}
	}
	if c := Diff(NewZones(nftables.TableFamilyIPv4, names), NewZones(nftables.TableFamilyIPv4, names)); c.Len() != 0 {
		t.Errorf("two of one kind differ: %v", c)
	}
}
