package ruleset

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Changes is what turns one table into another.
type Changes struct {
	// Rebuild says that chains, rules or sets differ in themselves and why: the whole table
	// is replaced, in one transaction.
	Rebuild string
	// Create says that there is no table to replace: to delete one costs 10 ms.
	Create bool
	// Otherwise only balancers and elements differ.
	AddChains, DelChains []string
	AddElements          map[string]map[Element]string
	DelElements          map[string]map[Element]string
}

// Len is how many things differ.
func (c Changes) Len() int {
	n := len(c.AddChains) + len(c.DelChains)
	if c.Rebuild != "" {
		n++
	}
	for _, e := range c.AddElements {
		n += len(e)
	}
	for _, e := range c.DelElements {
		n += len(e)
	}
	return n
}

// Diff returns what turns have into want. A nil have is a table that does not exist.
func Diff(have, want *Table) Changes {
	if have == nil {
		return Changes{Rebuild: "the table is missing", Create: true}
	}
	if why := structure(have, want); why != "" {
		return Changes{Rebuild: why}
	}
	c := Changes{
		AddElements: make(map[string]map[Element]string),
		DelElements: make(map[string]map[Element]string),
	}
	for name := range want.Chains {
		if have.Chains[name] == nil {
			c.AddChains = append(c.AddChains, name)
		}
	}
	for name := range have.Chains {
		if want.Chains[name] == nil {
			c.DelChains = append(c.DelChains, name)
		}
	}
	slices.Sort(c.AddChains)
	slices.Sort(c.DelChains)
	for name, set := range want.Sets {
		if add := missing(set.Elements, have.Sets[name].Elements); len(add) > 0 {
			c.AddElements[name] = add
		}
		if del := missing(have.Sets[name].Elements, set.Elements); len(del) > 0 {
			c.DelElements[name] = del
		}
	}
	return c
}

// missing returns the elements of a that b lacks or has with another value.
func missing(a, b map[Element]string) map[Element]string {
	m := make(map[Element]string)
	for k, v := range a {
		if got, ok := b[k]; !ok || got != v {
			m[k] = v
		}
	}
	return m
}

// structure says what differs beside elements and whole balancers, or "".
func structure(have, want *Table) string {
	for _, name := range slices.Sorted(maps.Keys(want.Sets)) {
		s, w := have.Sets[name], want.Sets[name]
		switch {
		case s == nil:
			return fmt.Sprintf("set %s is missing", name)
		case s.Spec.KeyType.Bytes != w.Spec.KeyType.Bytes && !w.verdicts() || // the library misreads the key of a verdict map
			s.Spec.IsMap != w.Spec.IsMap || s.Spec.Interval != w.Spec.Interval:
			return fmt.Sprintf("set %s has another type", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(have.Sets)) {
		if want.Sets[name] == nil {
			return fmt.Sprintf("set %s is not ours", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want.Chains)) {
		if why := chainDiffers(name, have.Chains[name], want.Chains[name]); why != "" {
			return why
		}
	}
	for _, name := range slices.Sorted(maps.Keys(have.Chains)) {
		if want.Chains[name] == nil && !have.Chains[name].isBalancer() {
			return fmt.Sprintf("chain %s is not ours", name)
		}
	}
	return ""
}

func chainDiffers(name string, have, want *Chain) string {
	switch {
	case have == nil && want.isBalancer():
		return "" // added without a rebuild
	case have == nil:
		return fmt.Sprintf("chain %s is missing", name)
	case have.isBalancer() != want.isBalancer():
		return fmt.Sprintf("chain %s is hooked elsewhere", name)
	case !want.isBalancer() && (have.Type != want.Type || *have.Hook != *want.Hook || *have.Priority != *want.Priority):
		return fmt.Sprintf("chain %s is hooked elsewhere", name)
	case !slices.EqualFunc(have.Rules, want.Rules, func(a, b Rule) bool { return a.Tag == b.Tag }):
		return fmt.Sprintf("chain %s has other rules", name)
	}
	return ""
}

// Describe lists the changes for people, prefixed by the family.
func (c Changes) Describe(t *Table) []string {
	fam := "ip"
	if familyOf(t.Family).addrLen == 16 {
		fam = "ip6"
	}
	var lines []string
	add := func(format string, args ...any) {
		lines = append(lines, fmt.Sprintf("nftables %s %s: ", fam, t.Name)+fmt.Sprintf(format, args...))
	}
	if c.Rebuild != "" {
		add("%s", c.Rebuild)
	}
	for _, n := range c.AddChains {
		add("chain %s is missing", n)
	}
	for _, n := range c.DelChains {
		add("chain %s is left over", n)
	}
	for _, set := range slices.Sorted(maps.Keys(c.AddElements)) {
		for e, v := range c.AddElements[set] {
			add("%s lacks %s", set, t.Sets[set].format(e, v))
		}
	}
	for _, set := range slices.Sorted(maps.Keys(c.DelElements)) {
		for e, v := range c.DelElements[set] {
			add("%s has left over %s", set, t.Sets[set].format(e, v))
		}
	}
	slices.SortStableFunc(lines, strings.Compare)
	return lines
}
