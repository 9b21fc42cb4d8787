package namespace

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/muster/muster/integration/needs"
)

// TestNoTimeWait: a namespace of a task remembers no closed connections, and
// that of the node is left alone.
func TestNoTimeWait(t *testing.T) {
	needs.Root(t, "network namespaces")
	before, err := os.ReadFile(timeWait)
	if err != nil {
		t.Skip("this kernel has no ", timeWait)
	}
	path := filepath.Join(t.TempDir(), "task")
	if err := Create(path); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := Delete(path); err != nil {
			t.Error(err)
		}
	}()
	var inside []byte
	if err := In(path, func() (err error) {
		inside, err = os.ReadFile(timeWait)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(string(inside)); got != "0" {
		t.Errorf("a task remembers %s closed connections", got)
	}
	if after, err := os.ReadFile(timeWait); err != nil || string(after) != string(before) {
		t.Errorf("the node remembers %q, %v, and did %q", after, err, before)
	}
}
