package ruleset

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// The names of our tables, of which there is one in each family.
const (
	Mesh  = "muster"       // what carries connections to tasks
	Zones = "muster_zones" // what keeps those of different ingress nodes apart
)

// ID tells the tables of a kernel apart.
type ID struct {
	Family nftables.TableFamily // ip or ip6; no type of nftables holds both
	Name   string
}

// Table is one nftables table: what it should hold, or what the kernel holds.
type Table struct {
	ID
	Chains map[string]*Chain
	Sets   map[string]*Set
}

// Chain is a list of rules, hooked into the kernel's packet path if Hook is set.
type Chain struct {
	Type     nftables.ChainType // empty for a chain that is only jumped to
	Hook     *nftables.ChainHook
	Priority *nftables.ChainPriority
	Rules    []Rule
}

// Rule is one rule. What was read from the kernel has a Tag and no Exprs.
type Rule struct {
	// Tag is the rule's comment in the kernel: why the rule is there, and a
	// digest of its expressions, so that two rules with one tag are one rule.
	Tag   string
	Exprs []expr.Any
	// encoded is what the rule does in the kernel's form, if the library has
	// no expressions for it.
	encoded [][]byte
}

// Set is a set, or a map when Spec.IsMap. Element keys and values are in the
// kernel's binary form; the value of a verdict map is the chain to go to.
type Set struct {
	Spec     nftables.Set // without Table and ID
	Elements map[Element]string
}

// Element is the key of one element.
type Element struct {
	Key string
	// End marks the first key after an interval.
	End bool
}

// isBalancer reports whether the chain spreads connections over endpoints.
// These chains come and go with the endpoint counts in use; all others stay.
func (c *Chain) isBalancer() bool { return c.Hook == nil }

// verdicts reports whether the values of the set are chains to go to.
func (s *Set) verdicts() bool {
	return s.Spec.IsMap && s.Spec.DataType.Name == nftables.TypeVerdict.Name
}

// rule makes a rule that says why it is there.
func rule(family nftables.TableFamily, why string, parts ...[]expr.Any) Rule {
	exprs := slices.Concat(parts...)
	return Rule{Tag: tag(why, encode(family, exprs)), Exprs: exprs}
}

func tag(why string, encoded [][]byte) string {
	sum := sha256.Sum256(slices.Concat(encoded...))
	return fmt.Sprintf("%s [%x]", why, sum[:4])
}

// encode brings expressions into the kernel's form.
func encode(family nftables.TableFamily, exprs []expr.Any) [][]byte {
	encoded := make([][]byte, 0, len(exprs))
	for _, e := range exprs {
		b, err := expr.Marshal(byte(family), e)
		if err != nil {
			panic(fmt.Sprintf("ruleset: encode %T: %v", e, err)) // our own expressions always marshal
		}
		encoded = append(encoded, b)
	}
	return encoded
}
