package nodes

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Inventory is what a node holds in the kernel and in containerd, a line each:
// "process containerd", "mount /…", "netns …", "link veth12", "route …",
// "rule …", "nft …", "cgroup …", "container …". Lines that are the same are as
// many as there are things.
type Inventory []string

// Minus is what is in inv and not in other.
func (inv Inventory) Minus(other Inventory) Inventory {
	have := map[string]int{}
	for _, line := range other {
		have[line]++
	}
	var more Inventory
	for _, line := range inv {
		if have[line]--; have[line] < 0 {
			more = append(more, line)
		}
	}
	return more
}

// OfTasks are the things that only a node with tasks on it has. Rules and
// routes are about other nodes and their tasks too.
func (inv Inventory) OfTasks() (found Inventory) {
	for _, thing := range inv {
		kind, _, _ := strings.Cut(thing, " ")
		if slices.Contains([]string{"process", "mount", "netns", "link", "cgroup", "container"}, kind) {
			found = append(found, thing)
		}
	}
	return found
}

// String is a line each.
func (inv Inventory) String() string { return strings.Join(inv, "\n") }

// Inventory lists what the node holds now.
func (n *Node) Inventory() Inventory {
	n.rack.t.Helper()
	inv, err := n.inventory()
	if err != nil {
		n.rack.t.Fatalf("inventory of %s: %v", n.Name, err)
	}
	return inv
}

// Leftovers lists what the node holds beyond what it held when it was booted.
// For what is left of some services while the daemon runs, subtract an
// Inventory taken before them: n.Inventory().Minus(before).
func (n *Node) Leftovers() Inventory {
	n.rack.t.Helper()
	return n.Inventory().Minus(n.base)
}

// inventory asks every source in turn. A namespace that is gone holds nothing.
func (n *Node) inventory() (Inventory, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var inv Inventory
	processes, err := n.Processes()
	if err != nil {
		return nil, err
	}
	for _, p := range processes {
		if len(p.Args) == 0 || p.runs("nsenter") {
			continue
		}
		inv = append(inv, "process "+filepath.Base(p.Args[0]))
	}
	mounts, err := mountsBelow(n.Dir)
	if err != nil {
		return nil, err
	}
	for _, m := range mounts {
		inv = append(inv, "mount "+m)
	}
	cgroups, err := cgroupsBelow(n.Cgroup())
	if err != nil {
		return nil, err
	}
	for _, c := range cgroups {
		// The parent of the containers' cgroups comes with the first and stays, as configured.
		if !strings.HasSuffix(c, n.Cgroup()) {
			inv = append(inv, "cgroup "+c)
		}
	}
	containers, err := n.containers(ctx)
	if err != nil {
		return nil, err
	}
	inv = append(inv, containers...)
	if n.exists() {
		network, err := n.network(ctx)
		if err != nil {
			return nil, err
		}
		inv = append(inv, network...)
	}
	slices.Sort(inv)
	return inv, nil
}

// network lists links, addresses, routes, rules, neighbours and nftables objects.
func (n *Node) network(ctx context.Context) (Inventory, error) {
	var inv Inventory
	for _, q := range []struct{ what, args string }{
		{"link", "-o link show"},
		{"address", "-o addr show"},
		{"route", "-4 route show table all"},
		{"route", "-6 route show table all"},
		{"rule", "-4 rule show"},
		{"rule", "-6 rule show"},
	} {
		out, err := n.Output(ctx, "ip", strings.Fields(q.args)...)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(out) {
			if text := identity(q.what, line); text != "" {
				inv = append(inv, q.what+" "+text)
			}
		}
	}
	out, err := n.Output(ctx, "nft", "--json", "--stateless", "list", "ruleset")
	if err != nil {
		return nil, err
	}
	rules, err := ruleset(out)
	return append(inv, rules...), err
}

// identity is a line of ip(8) without what changes on its own: indexes,
// lifetimes, carriers. It is empty for what the kernel adds by itself a moment
// after a link is up, or while it forwards: multicast and anycast routes, and the link-local address of the uplink.
func identity(what, line string) string {
	fields := strings.Fields(strings.ReplaceAll(line, `\`, " "))
	switch {
	case len(fields) < 2 || slices.Contains(fields, "multicast") || slices.Contains(fields, "anycast"):
		return ""
	case slices.Contains(fields, uplink) && slices.ContainsFunc(fields, func(f string) bool { return strings.HasPrefix(f, "fe80::") }):
		return ""
	case what == "link":
		name, _, _ := strings.Cut(strings.TrimSuffix(fields[1], ":"), "@")
		return name
	case what == "address":
		if len(fields) < 4 {
			return ""
		}
		return fields[1] + " " + fields[3]
	case what == "route":
		fields = slices.DeleteFunc(fields, func(f string) bool { return f == "linkdown" || f == "dead" })
	}
	return strings.Join(fields, " ")
}

// ruleset turns nft's JSON into a line for each table, chain, rule, set, and
// element of a set.
func ruleset(text string) (Inventory, error) {
	var listing struct {
		Nftables []map[string]map[string]any `json:"nftables"`
	}
	if err := json.Unmarshal([]byte(text), &listing); err != nil {
		return nil, fmt.Errorf("read what nft lists: %w", err)
	}
	var inv Inventory
	for _, item := range listing.Nftables {
		for kind, fields := range item {
			if kind == "metainfo" {
				continue
			}
			elements, _ := fields["elem"].([]any)
			name, err := objectName(kind, fields)
			if err != nil {
				return nil, err
			}
			inv = append(inv, "nft "+kind+" "+name)
			for _, e := range elements {
				b, err := json.Marshal(e)
				if err != nil {
					return nil, err
				}
				inv = append(inv, "nft element "+name+" "+string(b))
			}
		}
	}
	return inv, nil
}

// objectName says where an object is and what it is called; rules have no name but what they do.
func objectName(kind string, fields map[string]any) (string, error) {
	var parts []string
	for _, key := range []string{"family", "table", "chain", "name"} {
		if v, ok := fields[key]; ok {
			parts = append(parts, fmt.Sprint(v))
		}
	}
	if kind == "rule" {
		expr, err := json.Marshal(fields["expr"])
		if err != nil {
			return "", err
		}
		parts = append(parts, string(expr))
	}
	return strings.Join(parts, " "), nil
}
