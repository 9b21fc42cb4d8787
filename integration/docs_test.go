package integration

import (
	"path"
	"slices"
	"strings"
	"testing"
)

// vague names say nothing about what is inside.
const vague = "util utils common helper helpers misc base impl data info obj types shared lib"

// TestPackageDocs: every package says in exactly one place what it is for, in
// a comment that begins as Go's do.
func TestPackageDocs(t *testing.T) {
	for _, pkg := range load(t) {
		if pkg.Name == "" || pkg.Generated() {
			continue // the proto files say it
		}
		var docs []string
		for _, file := range pkg.Written(false) {
			if file.Doc == "" {
				continue
			}
			docs = append(docs, file.Path)
			if pkg.Name != "main" && !strings.HasPrefix(file.Doc, "Package "+pkg.Name+" ") {
				t.Errorf("the comment in %s does not begin with %q", file.Path, "Package "+pkg.Name)
			}
		}
		if len(docs) != 1 {
			t.Errorf("%s: %d files have a package comment, want 1 %q", pkg.Dir, len(docs), docs)
		}
	}
}

func TestPackageNames(t *testing.T) {
	for _, pkg := range load(t) {
		for _, name := range []string{pkg.Name, path.Base(pkg.Dir)} {
			if slices.Contains(strings.Fields(vague), name) {
				t.Errorf("%s: the name %q says nothing", pkg.Dir, name)
			}
		}
	}
}
