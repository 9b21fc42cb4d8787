package integration

import (
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/muster/muster/tools/source"
)

// layers says who may import whom, in the notation of Go's own table
// (go/build/deps_test.go). In
//
//	a, b < c < d
//
// c may import a and b, and d may import c, a and b; "<" carries on from line
// to line. What no "<" connects does not know each other: a and b do not.
//
// A name is a package, a pattern or, in capitals, a group that only this table
// knows. A pattern such as cli/* is each package directly in that directory
// that has no line of its own: a new noun of the command line has its place
// already. Packages of one pattern do not know each other.
//
// To change it is a design decision: docs/architecture.md draws it.
const layers = `
	# The contract: what is said on a wire, then the rules about it.
	proto/call/v1 < proto/logs/v1;
	proto/cluster/v1, proto/logs/v1 < proto/*/v1 < WIRE;
	WIRE < proto/id < proto/* < proto/rollout, proto/spec < proto/docker < PROTO;
	WIRE < proto/docker/dockertest;

	# What is about no part of a cluster.
	NOTHING < internal/boltfile < raftstore, worker/*;
	NOTHING < internal/quota < dispatcher/listen, ingress/gossip;
	NOTHING < internal/repeat < raftstore, dispatcher/listen;
	NOTHING < internal/text < proto/template < proto/spec;

	# The replicated state. What it is knows nothing of how it is replicated.
	PROTO < raftstore/state < raftstore;
	NOTHING < raftstore/transport < raftstore;

	# The wire between managers and workers. The worker's half knows no state.
	PROTO < dispatcher/rpcerror < dispatcher/mtls < dispatcher/listen;
	PROTO < dispatcher/agent;
	raftstore/state < dispatcher/* < dispatcher;
	raftstore < dispatcher;

	# The control plane: calls decide and propose, controllers decide and
	# propose, and neither knows the other. Only manager knows them all.
	raftstore < manager/control;
	raftstore/state < manager/orchestrator/slot, manager/allocator/*;
	manager/allocator/* < manager/allocator;
	raftstore/state < manager/allocator;
	manager/control, manager/orchestrator/slot < manager/orchestrator/restart, manager/scheduler;
	manager/allocator < manager/scheduler;
	manager/orchestrator/restart < manager/orchestrator/*;
	manager/control, dispatcher/mtls < manager/*, manager/ca, manager/gossipkeys;
	manager/ca, manager/gossipkeys, manager/allocator/* < manager/founding;
	raftstore < manager/api/once, manager/api/lookup < manager/api/* < manager/api;
	manager/*, manager/api, manager/founding, manager/orchestrator/*, manager/scheduler, dispatcher < manager;

	# The node's data plane. It is told what to hold in words of its own.
	NOTHING < ingress/conntrack, ingress/namespace, ingress/ruleset < ingress;
	ingress/namespace < ingress/dns;
	NOTHING < ingress/dns/names, ingress/dns/upstream < ingress/dns;

	# The node agent.
	PROTO < worker/* < worker/task, worker/executor/containerd < worker;
	dispatcher/agent, ingress < worker;
	NOTHING < worker/init;
	NOTHING < worker/executor/program < worker/executor/containerd;

	# What people and tools say. Every noun is told apart from every other; what
	# they share stands above the pattern.
	PROTO, dispatcher/mtls < cli/command;
	cli/command < cli/flags < cli/help, cli/render < cli/noun, cli/progress < cli/task < cli/logprint;
	PROTO < cli/login;
	cli/logprint, cli/login < cli/* < cli;
	cli/flags, cli/help, cli/render < cli/service/edit, cli/service/text < cli/service;
	cli/logprint, cli/login, cli/noun, cli/progress < cli/service < cli;

	# The composition root: the only place that knows every part.
	cli, manager, worker, dispatcher/listen, ingress/gossip, raftstore/transport < cli/daemon/node < cli/daemon < cli/muster;

	# What tests alone use.
	NOTHING < internal/goldentest;
	raftstore < raftstore/storetest;
	manager/control < manager/control/controltest;
	raftstore < manager/api/apitest;
	dispatcher/rpcerror < dispatcher/dispatchertest;
	dispatcher/mtls < dispatcher/mtls/mtlstest;
	worker/* < worker/executor/executortest;
	ingress < ingress/ingresstest;
	cli < cli/clitest;
	cli/daemon, worker/executor/executortest < integration/cluster;
	NOTHING < integration/load, integration/needs, integration/slowserver;
	NOTHING < integration/nodes, integration/pack < integration/nodes/fleet, integration/pack/packimage, integration/demo;
	integration/load < integration/nodes/fleet;
	NOTHING < integration, integration/bench, integration/nodes/soak, integration/nodes/stories, integration/scripts;

	NOTHING < tools/source < tools/figures;
`

// apart is what nobody but the directory's own package may import, although it
// stands below: the root composes parts, not the pieces of a part.
var apart = map[string]string{
	"cli/daemon":      "manager/allocator manager/allocator/* manager/orchestrator/*",
	"cli/daemon/node": "manager/allocator manager/allocator/* manager/orchestrator/*",
}

func TestLayers(t *testing.T) {
	order := parseOrder(t, layers)
	for _, pkg := range load(t) {
		place := order.place(pkg.Dir)
		if place == "" {
			t.Errorf("%s has no place in the layers: write it into the table of integration/layers_test.go, right of a '<' behind what it imports (%s)",
				pkg.Dir, strings.Join(ours(t, pkg), ", "))
			continue
		}
		for _, imp := range ours(t, pkg) {
			if order.below(order.place(imp), place) && !matches(apart[place], imp) {
				continue
			}
			t.Errorf("%s may not import %s: %s", pkg.Dir, imp, order.why(place, order.place(imp)))
		}
	}
}

// TestLayersExist fails for a line about nothing, which would be a typing
// mistake. A pattern may stand for what comes.
func TestLayersExist(t *testing.T) {
	order := parseOrder(t, layers)
	used := make(map[string]bool)
	for _, pkg := range load(t) {
		used[order.place(pkg.Dir)] = true
	}
	for name := range order {
		if !used[name] && strings.ToUpper(name) != name && !strings.Contains(name, "*") {
			t.Errorf("the table of layers names %s, and there is no such package", name)
		}
	}
}

// TestLayersAreDrawn: the drawing in docs/architecture.md shows every
// directory of the top and those directly in them, and the page leads to every
// DESIGN.md.
func TestLayersAreDrawn(t *testing.T) {
	text, err := os.ReadFile("../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Layers\n")
	_, drawing, _ := strings.Cut(section, "```")
	drawing, _, _ = strings.Cut(drawing, "```")
	words := strings.FieldsFunc(drawing, func(r rune) bool { return r < 'a' || r > 'z' })
	for _, pkg := range load(t) {
		for _, dir := range strings.Split(pkg.Dir, "/")[:min(2, strings.Count(pkg.Dir, "/")+1)] {
			if !slices.Contains(words, dir) {
				t.Errorf("docs/architecture.md, Layers: the drawing does not show %s of %s", dir, pkg.Dir)
			}
		}
		design := path.Join(pkg.Dir, "DESIGN.md")
		if _, err := os.Stat(path.Join("..", design)); err == nil && !strings.Contains(string(text), "../"+design) {
			t.Errorf("docs/architecture.md does not link %s", design)
		}
	}
}

// ours returns what the code of pkg, tests left out, imports of this module.
func ours(t *testing.T, pkg source.Package) (dirs []string) {
	t.Helper()
	all := make(map[string]bool)
	for _, p := range load(t) {
		all[p.Dir] = true
	}
	for _, file := range pkg.Files {
		for _, imp := range file.Imports {
			if all[imp] && !file.Test && !slices.Contains(dirs, imp) {
				dirs = append(dirs, imp)
			}
		}
	}
	slices.Sort(dirs)
	return dirs
}

// order holds, for each name of the table, the names directly below it.
type order map[string][]string

func parseOrder(t *testing.T, table string) order {
	t.Helper()
	var lines []string
	for line := range strings.Lines(table) {
		line, _, _ = strings.Cut(line, "#")
		lines = append(lines, line)
	}
	o := make(order)
	for rule := range strings.SplitSeq(strings.Join(lines, ""), ";") {
		var lower []string
		for group := range strings.SplitSeq(rule, "<") {
			names := strings.FieldsFunc(group, func(r rune) bool { return strings.ContainsRune(", \t\n", r) })
			for _, name := range names {
				o[name] = append(o[name], lower...)
			}
			lower = names
		}
	}
	for name := range o {
		if o.below(name, name) {
			t.Errorf("the table of layers leads from %s to itself", name)
		}
	}
	return o
}

// place returns the name that dir has in the table: its own, else the longest
// pattern that it matches, else "".
func (o order) place(dir string) string {
	if _, ok := o[dir]; ok {
		return dir
	}
	best := ""
	for name := range o {
		if ok, _ := path.Match(name, dir); ok && len(name) > len(best) {
			best = name
		}
	}
	return best
}

// below reports whether "<" leads from low to high.
func (o order) below(low, high string) bool {
	return slices.ContainsFunc(o[high], func(name string) bool { return name == low || o.below(low, name) })
}

// matches reports whether dir matches one of the patterns.
func matches(patterns, dir string) bool {
	for pattern := range strings.FieldsSeq(patterns) {
		if ok, _ := path.Match(pattern, dir); ok {
			return true
		}
	}
	return false
}

// why says in the table's terms why high may not import low.
func (o order) why(high, low string) string {
	switch {
	case high == low:
		return fmt.Sprintf("both are %s; move what they share into a package above that pattern", high)
	case o.below(low, high):
		return "it is a piece of a part: see 'apart' in integration/layers_test.go"
	case o.below(high, low):
		return fmt.Sprintf("the table of integration/layers_test.go has %s < %s, the other way round", high, low)
	}
	return fmt.Sprintf("no '<' in the table of integration/layers_test.go leads from %s to %s", low, high)
}

func TestOrder(t *testing.T) {
	o := parseOrder(t, `a, x/* < b; # a comment
		b < TOP < c, x/y`)
	for pair, want := range map[[2]string]bool{
		{"a", "b"}: true, {"a", "c"}: true, {"x/z", "x/y"}: true, {"x/z", "b"}: true,
		{"b", "a"}: false, {"c", "x/y"}: false, {"x/z", "x/q"}: false, {"x/y", "c"}: false, {"a", "x/z"}: false,
	} {
		if got := o.below(o.place(pair[0]), o.place(pair[1])); got != want {
			t.Errorf("%s below %s: %v, want %v", pair[0], pair[1], got, want)
		}
	}
	if got := o.place("z"); got != "" {
		t.Errorf("z has the place %q", got)
	}
	if len(slices.Collect(maps.Keys(o))) != 6 {
		t.Errorf("the table names %v", slices.Sorted(maps.Keys(o)))
	}
}
