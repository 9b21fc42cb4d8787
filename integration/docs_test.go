package integration

import (
	"encoding/json"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// vague names say nothing about what is inside.
const vague = "util utils common helper helpers misc base impl data info obj types shared lib"

// TestPackageDocs: every package says in exactly one place what it is for, in
// a comment that begins as Go's do.
func TestPackageDocs(t *testing.T) {
	for _, pkg := range packages(t) {
		var docs []string
		for _, name := range pkg.GoFiles {
			if strings.HasSuffix(name, ".pb.go") {
				continue // the proto files say it
			}
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(pkg.Dir, name), nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Errorf("%s: %v", pkg.ImportPath, err)
				continue
			}
			if file.Doc == nil {
				continue
			}
			docs = append(docs, name)
			if text := file.Doc.Text(); pkg.Name != "main" && !strings.HasPrefix(text, "Package "+pkg.Name+" ") {
				t.Errorf("%s: the comment in %s does not begin with %q", pkg.ImportPath, name, "Package "+pkg.Name)
			}
		}
		if generated(pkg.GoFiles) || len(pkg.GoFiles) == 0 {
			continue
		}
		if len(docs) != 1 {
			t.Errorf("%s: %d files have a package comment, want 1 %q", pkg.ImportPath, len(docs), docs)
		}
	}
}

func TestPackageNames(t *testing.T) {
	for _, pkg := range packages(t) {
		for _, name := range []string{pkg.Name, path.Base(pkg.ImportPath)} {
			if slices.Contains(strings.Fields(vague), name) {
				t.Errorf("%s: the name %q says nothing", pkg.ImportPath, name)
			}
		}
	}
}

func generated(files []string) bool {
	return !slices.ContainsFunc(files, func(name string) bool { return !strings.HasSuffix(name, ".pb.go") })
}

type goPackage struct {
	Dir, ImportPath, Name string
	GoFiles               []string
}

func packages(t *testing.T) (pkgs []goPackage) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=Dir,ImportPath,Name,GoFiles", "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := dec.Decode(&p); err == io.EOF {
			return pkgs
		} else if err != nil {
			t.Fatalf("read go list: %v", err)
		}
		pkgs = append(pkgs, p)
	}
}
