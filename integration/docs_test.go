package integration

import (
	"bytes"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
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

// maxWidth is how many characters a line of text may have in a page, tables
// and examples left out.
const maxWidth = 120

var link = regexp.MustCompile(`\]\(([^):#]+)(?:#[^)]*)?\)`)

// TestPages: text wraps, and links within the repository lead somewhere.
func TestPages(t *testing.T) {
	for name, text := range pages(t) {
		example := false
		for i, line := range strings.Split(text, "\n") {
			if strings.HasPrefix(line, "```") {
				example = !example
			}
			if example || strings.HasPrefix(line, "|") {
				continue
			}
			if n := utf8.RuneCountInString(line); n > maxWidth {
				t.Errorf("%s:%d has %d characters, more than %d", name, i+1, n, maxWidth)
			}
		}
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			target := filepath.Join("..", filepath.Dir(name), m[1])
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: the link to %s leads nowhere", name, m[1])
			}
		}
	}
}

// room is a link that names a function or type and leads to its file.
var room = regexp.MustCompile("\\[`(\\w+)`\\]\\(([^)]+\\.go)\\)")

// TestRooms: what a page says is in a file is in it. That the files are there
// is TestPages' matter.
func TestRooms(t *testing.T) {
	for name, text := range pages(t) {
		for _, m := range room.FindAllStringSubmatch(text, -1) {
			code, err := os.ReadFile(filepath.Join("..", filepath.Dir(name), m[2]))
			if err != nil {
				continue
			}
			declared := regexp.MustCompile(`(?m)^(func (\([^)]*\) )?|type )` + m[1] + `\b`)
			if !declared.Match(code) {
				t.Errorf("%s: there is no %s in %s", name, m[1], m[2])
			}
		}
	}
}

// maxShared is how many files that others share an object may have to touch.
const maxShared = 6

var (
	recipe = regexp.MustCompile(`(?s)\*\*To add\*\* an \*object\*.*?\n\n(1\. .*?)\n\n`)
	step   = regexp.MustCompile(`(?m)^\d+\. `)
	shared = regexp.MustCompile("`([^`]+/[^`]+)`")
)

// TestRecipe: what README says an object must touch is little, and is there.
func TestRecipe(t *testing.T) {
	list := recipe.FindStringSubmatch(pages(t)["README.md"])
	if list == nil {
		t.Fatal("README.md does not say what to touch to add an object")
	}
	steps := step.Split(list[1], -1)[1:]
	if len(steps) > maxShared {
		t.Errorf("adding an object touches %d shared files, more than %d", len(steps), maxShared)
	}
	for i, text := range steps {
		files := shared.FindAllStringSubmatch(text, -1)
		if len(files) != 1 {
			t.Errorf("step %d names %d files, want 1: %s", i+1, len(files), text)
		}
		for _, m := range files {
			if _, err := os.Stat(filepath.Join("..", m[1])); err != nil {
				t.Errorf("step %d names %s, which is not there", i+1, m[1])
			}
		}
	}
}

// pages returns the text of each page of the repository by its name.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := fs.WalkDir(os.DirFS(".."), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (name == "bin" || strings.HasPrefix(name, ".") && name != "."):
			return fs.SkipDir
		case path.Ext(name) != ".md":
			return nil
		}
		text, err := os.ReadFile(filepath.Join("..", name))
		all[name] = string(bytes.TrimSpace(text))
		return err
	})
	if err != nil || len(all) == 0 {
		t.Fatalf("%d pages: %v", len(all), err)
	}
	return all
}
