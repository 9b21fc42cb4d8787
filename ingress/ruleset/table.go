package ruleset

import (
	"crypto/sha256"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// Name is the name of our table in each family.
const Name = "muster"

// Table is one nftables table: what it should hold, or what the kernel holds.
type Table struct {
	Family nftables.TableFamily // ip or ip6; no type of nftables holds both
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
	var exprs []expr.Any
	for _, p := range parts {
		exprs = append(exprs, p...)
	}
	sum := sha256.New()
	for _, e := range exprs {
		b, err := expr.Marshal(byte(family), e)
		if err != nil {
			panic(fmt.Sprintf("ruleset: rule %q: %v", why, err)) // our own rules always marshal
		}
		sum.Write(b)
	}
	return Rule{Tag: fmt.Sprintf("%s [%x]", why, sum.Sum(nil)[:4]), Exprs: exprs}
}
