package ruleset

import (
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// Dropper is a chain of somebody else's that drops what it does not accept.
type Dropper struct {
	Family nftables.TableFamily
	Table  string
	Chain  string
}

// String names the chain as nft(8) does.
func (d Dropper) String() string {
	family := map[nftables.TableFamily]string{
		nftables.TableFamilyIPv4: "ip", nftables.TableFamilyIPv6: "ip6", nftables.TableFamilyINet: "inet",
	}[d.Family]
	return fmt.Sprintf("chain %s of table %s %s", d.Chain, family, d.Table)
}

// Droppers lists, in the kernel's order, the chains of others that are asked
// about packets at the hook and drop or refuse what they do not accept: by
// their policy or by their last rule. An accept of ours does not override them.
// It works in the network namespace of the calling thread.
func Droppers(hook *nftables.ChainHook) ([]Dropper, error) {
	c, err := open()
	if err != nil {
		return nil, err
	}
	defer c.CloseLasting() //nolint:errcheck // nothing is buffered
	chains, err := steadyChains(c.ListChains)
	if err != nil {
		return nil, err
	}
	var found []Dropper
	for _, chain := range chains {
		if chain.Hooknum == nil || *chain.Hooknum != *hook || chain.Type != nftables.ChainTypeFilter || ours(chain.Table) {
			continue
		}
		drops := chain.Policy != nil && *chain.Policy == nftables.ChainPolicyDrop
		if !drops {
			// Rules that the library cannot read are no proof.
			rules, err := c.GetRules(chain.Table, chain)
			drops = err == nil && len(rules) > 0 && refusesAll(rules[len(rules)-1].Exprs)
		}
		if drops {
			found = append(found, Dropper{chain.Table.Family, chain.Table.Name, chain.Name})
		}
	}
	return found, nil
}

func ours(t *nftables.Table) bool { return t.Name == Mesh || t.Name == Zones }

// refusesAll reports whether a rule drops or refuses whatever reaches it.
func refusesAll(exprs []expr.Any) bool {
	exprs = slices.DeleteFunc(slices.Clone(exprs), func(e expr.Any) bool {
		switch e.(type) {
		case *expr.Counter, *expr.Log:
			return true
		}
		return false
	})
	if len(exprs) != 1 {
		return false
	}
	switch e := exprs[0].(type) {
	case *expr.Reject:
		return true
	case *expr.Verdict:
		return e.Kind == expr.VerdictDrop
	}
	return false
}
