// Package source reads the Go source of this repository as the rules about it
// see it: packages, files, functions, imports. All of it is parsed, none of it
// built, and generated files are told from written ones.
package source

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Module is the import path of the repository's root, with a slash behind it.
const Module = "github.com/muster/muster/"

// Package is a directory with Go files.
type Package struct {
	Dir   string // from the root of the repository, as in "manager/control"
	Name  string // as its files that are no tests declare it; empty if it has tests alone
	Files []File // sorted by name
}

// File is one Go file.
type File struct {
	Path      string // from the root of the repository
	Lines     int
	Test      bool     // its name ends in _test.go
	Generated bool     // it says so, as generated files do
	Doc       string   // the package comment
	Imports   []string // of this module, as directories from the root; others by their import path
	Funcs     []Func
}

// Func is a function or method that is declared in a file.
type Func struct {
	Name     string
	Receiver string // the name of the type, without pointer and type parameters; empty for a function
	File     string
	Line     int // of the file, from 1
	Lines    int // from func to the closing brace
}

// String names f as in "manager/control/loop.go:20 Loop.Run".
func (f Func) String() string {
	name := f.Name
	if f.Receiver != "" {
		name = f.Receiver + "." + f.Name
	}
	return fmt.Sprintf("%s:%d %s", f.File, f.Line, name)
}

// Written returns the files of p that people wrote, tests or no tests.
func (p Package) Written(tests bool) []File {
	return slices.DeleteFunc(slices.Clone(p.Files), func(f File) bool { return f.Generated || f.Test != tests })
}

// Generated reports whether p holds nothing that people wrote.
func (p Package) Generated() bool { return len(p.Written(false)) == 0 && len(p.Written(true)) == 0 }

// ForTests reports whether p serves tests alone: the test bench in integration
// and the packages whose names end in "test".
func (p Package) ForTests() bool {
	top, _, _ := strings.Cut(p.Dir, "/")
	return top == "integration" || strings.HasSuffix(p.Dir, "test")
}

// Load reads the packages of the module at root, sorted by directory. Modules
// within it and testdata are left out, as Go itself leaves them out.
func Load(root string) ([]Package, error) {
	byDir := make(map[string]*Package)
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != root && skipped(name):
			return fs.SkipDir
		case entry.IsDir() || path.Ext(name) != ".go":
			return nil
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		return add(byDir, name, filepath.ToSlash(rel))
	})
	if err != nil {
		return nil, fmt.Errorf("read the source: %w", err)
	}
	var pkgs []Package
	for _, p := range byDir {
		pkgs = append(pkgs, *p)
	}
	slices.SortFunc(pkgs, func(a, b Package) int { return strings.Compare(a.Dir, b.Dir) })
	return pkgs, nil
}

// skipped reports whether Go does not look into a directory.
func skipped(dir string) bool {
	base := filepath.Base(dir)
	if base == "testdata" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return true
	}
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

// add parses the file at name and puts it into its package.
func add(byDir map[string]*Package, name, rel string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	fset := token.NewFileSet()
	parsed, err := parser.ParseFile(fset, rel, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	dir := path.Dir(rel)
	if byDir[dir] == nil {
		byDir[dir] = &Package{Dir: dir}
	}
	file := File{
		Path:      rel,
		Lines:     strings.Count(string(text), "\n"),
		Test:      strings.HasSuffix(rel, "_test.go"),
		Generated: ast.IsGenerated(parsed),
		Doc:       parsed.Doc.Text(),
		Imports:   imports(parsed),
		Funcs:     funcs(fset, rel, parsed),
	}
	if !file.Test {
		byDir[dir].Name = parsed.Name.Name
	}
	byDir[dir].Files = append(byDir[dir].Files, file)
	return nil
}

func imports(file *ast.File) (paths []string) {
	for _, spec := range file.Imports {
		if imp, err := strconv.Unquote(spec.Path.Value); err == nil {
			paths = append(paths, strings.TrimPrefix(imp, Module))
		}
	}
	return paths
}

func funcs(fset *token.FileSet, rel string, file *ast.File) (list []Func) {
	for _, decl := range file.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		first, last := fset.Position(fn.Pos()).Line, fset.Position(fn.End()).Line
		f := Func{Name: fn.Name.Name, File: rel, Line: first, Lines: last - first + 1}
		if fn.Recv != nil {
			f.Receiver = typeName(fn.Recv.List[0].Type)
		}
		list = append(list, f)
	}
	return list
}

// typeName is the name in a receiver's type: T of T, *T and *T[K, V].
func typeName(expr ast.Expr) string {
	switch e := expr.(type) {
	case *ast.StarExpr:
		return typeName(e.X)
	case *ast.IndexExpr:
		return typeName(e.X)
	case *ast.IndexListExpr:
		return typeName(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}
