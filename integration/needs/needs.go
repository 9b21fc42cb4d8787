// Package needs skips tests of what the machine they run on cannot carry out,
// and says what it lacks. Under -short, which is "make unit", nothing is asked
// of the machine at all.
package needs

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Root skips the test unless it runs as root. The purpose says what for, as in
// "network namespaces".
func Root(t testing.TB, purpose string) {
	t.Helper()
	if testing.Short() {
		t.Skipf("left out by -short: needs root for %s", purpose)
	}
	if os.Geteuid() != 0 {
		t.Skipf("needs root for %s", purpose)
	}
}

// Programs skips the test unless all of the programs are in PATH.
func Programs(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("needs %s: run make setup", name)
		}
	}
}

// Runtime returns the directory of the containerd, shim and runc that "make
// build" builds. It skips the test where they, or more that is built there, are
// not built, or cannot run for want of root.
func Runtime(t testing.TB, more ...string) string {
	t.Helper()
	Root(t, "containerd")
	dir := filepath.Join(repository(t), "bin")
	for _, program := range append([]string{"containerd", "containerd-shim-runc-v2", "runc"}, more...) {
		if _, err := os.Stat(filepath.Join(dir, program)); err != nil {
			t.Skipf("needs %s: run make build", program)
		}
	}
	return dir
}

// repository is the root of the source tree that the test runs in.
func repository(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for dir != "/" {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		dir = filepath.Dir(dir)
	}
	t.Fatal("the test does not run in the source tree")
	return ""
}
