package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/muster/muster/integration/nodes"
)

// stage is what the harness asks of a test, for a program.
type stage struct {
	failed   bool
	cleanups []func()
}

var _ nodes.T = (*stage)(nil)

// failure is how Fatalf leaves.
type failure struct{ text string }

// Helper implements nodes.T.
func (t *stage) Helper() {}

// Name implements nodes.T.
func (t *stage) Name() string { return "demo" }

// Logf implements nodes.T.
func (t *stage) Logf(format string, args ...any) { fmt.Printf(format+"\n", args...) }

// Fatalf implements nodes.T.
func (t *stage) Fatalf(format string, args ...any) {
	t.failed = true
	panic(failure{fmt.Sprintf(format, args...)})
}

// Errorf implements nodes.T.
func (t *stage) Errorf(format string, args ...any) {
	t.failed = true
	t.Logf(format, args...)
}

// Failed implements nodes.T.
func (t *stage) Failed() bool { return t.failed }

// Cleanup implements nodes.T.
func (t *stage) Cleanup(f func()) { t.cleanups = append(t.cleanups, f) }

// curtain ends the play: a Fatalf becomes the error.
func (t *stage) curtain(err *error) {
	if p := recover(); p != nil {
		f, ours := p.(failure)
		if !ours {
			panic(p)
		}
		*err = fmt.Errorf("%s", f.text)
	}
	for _, f := range slices.Backward(t.cleanups) {
		f()
	}
}

// say tells what comes next.
func (t *stage) say(what string) { fmt.Printf("\n# %s\n", what) }

// run runs a command of the client on a node and shows both.
func (t *stage) run(n *nodes.Node, args ...string) {
	fmt.Printf("\n%s$ muster %s\n", n.Name, strings.Join(args, " "))
	fmt.Print(n.MustMuster(args...))
}
