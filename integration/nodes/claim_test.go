package nodes

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// program is a T that is not a test: it keeps what it was told.
type program struct {
	name    string
	errors  []string
	cleanup []func()
}

func (p *program) Helper()                   {}
func (p *program) Name() string              { return p.name }
func (p *program) Logf(string, ...any)       {}
func (p *program) Failed() bool              { return len(p.errors) > 0 }
func (p *program) Cleanup(f func())          { p.cleanup = append(p.cleanup, f) }
func (p *program) Errorf(f string, a ...any) { p.errors = append(p.errors, fmt.Sprintf(f, a...)) }
func (p *program) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

// remains lists what there is of rack number on this machine.
func remains(t *testing.T, number int) []string {
	t.Helper()
	var found []string
	for _, pattern := range []string{
		fmt.Sprintf("/run/netns/mn%d-*", number),
		fmt.Sprintf("/tmp/mn%d-*", number),
		fmt.Sprintf("%s/%d", claims, number),
		fmt.Sprintf("/sys/fs/cgroup/*/mn%d", number),
	} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, paths...)
	}
	return found
}

func quiet(number int, keep bool) Config {
	return Config{
		Nodes: 1, Number: number, Keep: keep,
		Command: func(*Node) []string { return []string{"busybox", "sleep", "1000"} },
		Ready:   func(n *Node) error { _, err := n.Process("busybox", "sleep"); return err },
	}
}

func TestRackLeavesNothing(t *testing.T) {
	if why := unable(); why != "" {
		t.Skip(why)
	}
	p := &program{name: t.Name()}
	r := Build(p, Config{Nodes: 1, Command: quiet(0, false).Command, Ready: quiet(0, false).Ready})
	r.Start()
	number := r.claim.number
	if len(remains(t, number)) < 4 {
		t.Fatalf("a rack stands on %q alone", remains(t, number))
	}
	p.cleanup[0]()
	if found := remains(t, number); len(found) > 0 || p.Failed() {
		t.Errorf("left of the rack: %q; errors: %q", found, p.errors)
	}
}

// TestKeptRack builds a rack that outlives its program, as the demo's does,
// and takes it over, as the demo's end does.
func TestKeptRack(t *testing.T) {
	if why := unable(); why != "" {
		t.Skip(why)
	}
	const number = 251 // never taken by default
	r := Build(&program{name: t.Name()}, quiet(number, true))
	r.Start()
	r.claim.release() // what the end of the program does

	again, err := Attach(&program{name: t.Name()}, quiet(number, true))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Attach(&program{name: t.Name()}, quiet(number, true)); err == nil {
		t.Error("two programs have the rack at once")
	}
	if _, err := again.Nodes[0].Process("busybox", "sleep"); err != nil {
		t.Errorf("the node's process: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
	if found := remains(t, number); len(found) > 0 {
		t.Errorf("left of the rack: %q", found)
	}
	if _, err := Attach(&program{name: t.Name()}, quiet(number, true)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("attach to no rack: %v, want not exist", err)
	}
}

func TestSweep(t *testing.T) {
	if why := unable(); why != "" {
		t.Skip(why)
	}
	const number = 252
	dead := Build(&program{name: t.Name()}, quiet(number, false))
	dead.Start()
	dead.claim.release() // what the death of the program does

	p := &program{name: t.Name()}
	r := Build(p, quiet(number, false))
	if dead.Nodes[0].Dir == r.Nodes[0].Dir {
		t.Error("the new rack uses the directory of the dead one")
	}
	if _, err := os.Stat(dead.Dir); !os.IsNotExist(err) {
		t.Errorf("the directory of the dead rack: %v", err)
	}
	if left := r.Nodes[0].Leftovers(); strings.Contains(left.String(), "process") {
		t.Errorf("of the dead rack: %s", left)
	}
	p.cleanup[0]()
	if found := remains(t, number); len(found) > 0 || p.Failed() {
		t.Errorf("left of the rack: %q; errors: %q", found, p.errors)
	}
}
