// Package cli is muster's command line: the root command with its groups, and
// what is true for all of them. A group is a package, a verb a file in it.
package cli
