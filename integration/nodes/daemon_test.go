package nodes

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestDaemon runs the real daemon on a node, in no cluster.
func TestDaemon(t *testing.T) {
	if _, err := os.Stat(filepath.Join(repository(), "bin", "muster")); err != nil {
		t.Skipf("no muster to run: %v; run 'make build'", err)
	}
	r := New(t, 1)
	n := r.Nodes[0]
	n.Start()
	if out := n.MustMuster("version"); !strings.Contains(out, "Daemon:") {
		t.Errorf("version: %q, want the daemon's", out)
	}
	r.Eventually("containerd to run", 10*time.Second, func() error {
		_, err := n.Process("containerd")
		return err
	})
	n.KillContainerd()
	r.Eventually("containerd to run again", 10*time.Second, func() error {
		_, err := n.Process("containerd")
		return err
	})
	n.KillDaemon()
	if res := n.Muster("version"); res.Exit == 0 || !strings.Contains(res.Stderr, n.Socket()) {
		t.Errorf("version without a daemon: %+v, want an error that names the socket", res)
	}
	n.Start()
	n.Stop()
	n.Start()
	n.Kill()
	if left := n.Leftovers(); len(left) > 0 {
		t.Errorf("left of the node: %s", left)
	}
	n.Start()
}
