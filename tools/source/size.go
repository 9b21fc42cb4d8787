package source

import (
	"cmp"
	"slices"
)

// Size is how large something is: a file in lines, a type in methods, a
// package in files, a function in lines.
type Size struct {
	What string
	N    int
}

// FileLines returns the lines of each written file, largest first.
func FileLines(pkgs []Package, tests bool) []Size {
	return sizes(pkgs, func(p Package, add func(string, int)) {
		for _, f := range p.Written(tests) {
			add(f.Path, f.Lines)
		}
	})
}

// FuncLines returns the lines of each function that is no test, largest first.
func FuncLines(pkgs []Package) []Size {
	return sizes(pkgs, func(p Package, add func(string, int)) {
		for _, f := range p.Written(false) {
			for _, fn := range f.Funcs {
				add(fn.String(), fn.Lines)
			}
		}
	})
}

// TypeMethods returns the number of methods of each type that has any, largest
// first. A type is named as in "raftstore.Store".
func TypeMethods(pkgs []Package) []Size {
	return sizes(pkgs, func(p Package, add func(string, int)) {
		methods := make(map[string]int)
		for _, f := range p.Written(false) {
			for _, fn := range f.Funcs {
				if fn.Receiver != "" {
					methods[fn.Receiver]++
				}
			}
		}
		for name, n := range methods {
			add(p.Dir+"."+name, n)
		}
	})
}

// PackageFiles returns the number of files of each package, tests left out,
// largest first.
func PackageFiles(pkgs []Package) []Size {
	return sizes(pkgs, func(p Package, add func(string, int)) {
		if n := len(p.Written(false)); n > 0 {
			add(p.Dir, n)
		}
	})
}

func sizes(pkgs []Package, each func(p Package, add func(what string, n int))) (all []Size) {
	for _, p := range pkgs {
		each(p, func(what string, n int) { all = append(all, Size{what, n}) })
	}
	slices.SortFunc(all, func(a, b Size) int {
		return cmp.Or(cmp.Compare(b.N, a.N), cmp.Compare(a.What, b.What))
	})
	return all
}

// Median returns the one in the middle of sizes, which are sorted.
func Median(sizes []Size) int {
	if len(sizes) == 0 {
		return 0
	}
	return sizes[len(sizes)/2].N
}

// Lines counts the lines of a package or of several by what they are for.
type Lines struct {
	What                   string
	Code, Tests, Generated int
}

// Ratio is how many lines of tests there are for each line of code.
func (l Lines) Ratio() float64 {
	if l.Code == 0 {
		return 0
	}
	return float64(l.Tests) / float64(l.Code)
}

// CountLines counts the lines of pkgs together. Whatever serves tests alone
// counts as tests.
func CountLines(pkgs ...Package) (sum Lines) {
	for _, p := range pkgs {
		for _, f := range p.Files {
			switch {
			case f.Generated:
				sum.Generated += f.Lines
			case f.Test || p.ForTests():
				sum.Tests += f.Lines
			default:
				sum.Code += f.Lines
			}
		}
	}
	return sum
}

// PackageLines counts the lines of each package with code and the tests beside
// it, fewest tests for its code first.
func PackageLines(pkgs []Package) (all []Lines) {
	for _, p := range pkgs {
		if l := CountLines(p); l.Code > 0 {
			l.What = p.Dir
			all = append(all, l)
		}
	}
	slices.SortFunc(all, func(a, b Lines) int {
		return cmp.Or(cmp.Compare(a.Ratio(), b.Ratio()), cmp.Compare(b.Code, a.Code))
	})
	return all
}
