package integration

import (
	"os/exec"
	"strings"
	"testing"
)

// layers says who may import whom; a line reads "these < may be used by
// those". Within one top-level folder anything goes. Changing it is a design
// decision: change docs/architecture.md in the same commit.
const layers = `
	proto            < raftstore dispatcher ingress worker manager cli integration
	raftstore        < dispatcher manager cli/daemon integration
	dispatcher       < manager cli/daemon integration
	dispatcher/agent dispatcher/mtls dispatcher/rpcerror < worker manager cli/daemon cli/command cli/clitest integration
	ingress          < worker cli/daemon integration
	manager          < cli/daemon integration
	worker           < cli/daemon integration
	cli              < integration
	integration      <
`

func TestLayers(t *testing.T) {
	allowed := parseLayers(layers)
	for pkg, imports := range goList(t) {
		for _, imp := range imports {
			from, to := layerOf(pkg, allowed), layerOf(imp, allowed)
			if to == "" {
				t.Errorf("%s imports %s, which is in no layer", pkg, imp)
				continue
			}
			if top(from) != top(to) && !allowed[to][from] && !allowed[to][top(from)] && !mayUse(pkg, allowed[to]) {
				t.Errorf("%s may not import %s", pkg, imp)
			}
		}
	}
}

// TestOnlyTheRootKnowsTheDaemon: a command that imported the parts it runs
// beside would drag the whole cluster into its tests.
func TestOnlyTheRootKnowsTheDaemon(t *testing.T) {
	for pkg, imports := range goList(t) {
		if pkg == "cli" || within(pkg, "cli/daemon") || within(pkg, "cli/muster") || within(pkg, "integration") {
			continue
		}
		for _, imp := range imports {
			if within(imp, "cli/daemon") {
				t.Errorf("%s may not import %s", pkg, imp)
			}
		}
	}
}

// TestLayersExist fails for a rule about nothing, which would be a typing mistake.
func TestLayersExist(t *testing.T) {
	pkgs := goList(t)
	for layer := range parseLayers(layers) {
		found := false
		for pkg := range pkgs {
			found = found || within(pkg, layer)
		}
		if !found {
			t.Errorf("layer %s has no package", layer)
		}
	}
}

const module = "github.com/muster/muster/"

// goList returns what each package of the module imports of the module,
// tests left out.
func goList(t *testing.T) map[string][]string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	pkgs := make(map[string][]string)
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		pkg, ok := strings.CutPrefix(f[0], module)
		if !ok {
			continue
		}
		pkgs[pkg] = nil
		for _, imp := range f[1:] {
			if in, ok := strings.CutPrefix(imp, module); ok {
				pkgs[pkg] = append(pkgs[pkg], in)
			}
		}
	}
	return pkgs
}

func parseLayers(s string) map[string]map[string]bool {
	allowed := make(map[string]map[string]bool)
	for line := range strings.Lines(strings.TrimSpace(s)) {
		names, users, _ := strings.Cut(line, "<")
		for name := range strings.FieldsSeq(names) {
			allowed[name] = make(map[string]bool)
			for u := range strings.FieldsSeq(users) {
				allowed[name][u] = true
			}
		}
	}
	return allowed
}

// layerOf returns the longest layer that pkg lies in.
func layerOf(pkg string, allowed map[string]map[string]bool) (best string) {
	for name := range allowed {
		if within(pkg, name) && len(name) > len(best) {
			best = name
		}
	}
	return best
}

// mayUse reports whether a user that is a folder below a layer covers pkg.
func mayUse(pkg string, users map[string]bool) bool {
	for u := range users {
		if within(pkg, u) {
			return true
		}
	}
	return false
}

func within(pkg, folder string) bool { return pkg == folder || strings.HasPrefix(pkg, folder+"/") }

func top(layer string) string { t, _, _ := strings.Cut(layer, "/"); return t }
