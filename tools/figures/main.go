// Command figures prints how large the source is: lines, functions, types,
// packages, and how much of it is tests, the worst of each first.
//
// usage: go run ./tools/figures [-n LINES]    (from the root of the repository)
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/muster/muster/tools/source"
)

func main() {
	n := flag.Int("n", 10, "how many of the worst to list, 0 for all")
	flag.Parse()
	pkgs, err := source.Load(".")
	if err != nil {
		fmt.Fprintln(os.Stderr, "figures:", err)
		os.Exit(1)
	}
	report(os.Stdout, pkgs, *n)
}

func report(out io.Writer, pkgs []source.Package, n int) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	total(w, pkgs)
	files, tests := source.FileLines(pkgs, false), source.FileLines(pkgs, true)
	funcs, methods, packages := source.FuncLines(pkgs), source.TypeMethods(pkgs), source.PackageFiles(pkgs)
	fmt.Fprintf(w, "\n\tnumber\tmedian\tmaximum\t\n")
	summary(w, "lines of a function", funcs)
	summary(w, "lines of a file", files)
	summary(w, "lines of a file of tests", tests)
	summary(w, "methods of a type", methods)
	summary(w, "files of a package", packages)
	_ = w.Flush()

	list(out, "Longest functions, lines", first(funcs, n))
	list(out, "Longest files, lines", first(files, n))
	list(out, "Types with the most methods", first(methods, n))
	list(out, "Packages with the most files", first(packages, n))
	fmt.Fprintf(out, "\nLines of tests beside a line of code, fewest first\n")
	for _, l := range first(source.PackageLines(pkgs), n) {
		fmt.Fprintf(out, "%6.2f  %s (%d lines)\n", l.Ratio(), l.What, l.Code)
	}
}

func total(w io.Writer, pkgs []source.Package) {
	l := source.CountLines(pkgs...)
	fmt.Fprintf(w, "\tcode\ttests\tgenerated\ttests/code\t\n")
	fmt.Fprintf(w, "lines\t%d\t%d\t%d\t%.2f\t\n", l.Code, l.Tests, l.Generated, l.Ratio())
}

func summary(w io.Writer, what string, sizes []source.Size) {
	fmt.Fprintf(w, "%s\t%d\t%d\t%d\t\n", what, len(sizes), source.Median(sizes), sizes[0].N)
}

func list(out io.Writer, title string, sizes []source.Size) {
	fmt.Fprintf(out, "\n%s\n", title)
	for _, s := range sizes {
		fmt.Fprintf(out, "%6d  %s\n", s.N, s.What)
	}
}

// first returns the first n of all, or all when n is 0.
func first[T any](all []T, n int) []T {
	if n == 0 {
		return all
	}
	return all[:min(n, len(all))]
}
