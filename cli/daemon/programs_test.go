package daemon

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/errdefs"
)

// TestPrograms: what is built with muster is found in --bin-dir, then beside it
// and where it is installed, then in PATH; an init may be missing.
func TestPrograms(t *testing.T) {
	dir, inPath := t.TempDir(), t.TempDir()
	t.Setenv("PATH", inPath)
	for _, cfg := range []Config{{}, {BinDir: dir}} {
		if got, err := initProgram(cfg); got != "" || err != nil {
			t.Errorf("nowhere: %q, %v", got, err)
		}
	}
	if _, err := binDir(Config{}); !errdefs.IsNotFound(err) {
		t.Errorf("containerd is nowhere: %v", err)
	}
	for _, path := range []string{filepath.Join(inPath, "muster-init"), filepath.Join(inPath, "containerd"), filepath.Join(dir, "muster-init")} {
		if err := os.WriteFile(path, nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := binDir(Config{}); got != inPath || err != nil {
		t.Errorf("containerd in PATH: %q, %v", got, err)
	}
	for want, cfg := range map[string]Config{filepath.Join(inPath, "muster-init"): {}, filepath.Join(dir, "muster-init"): {BinDir: dir}} {
		if got, err := initProgram(cfg); got != want || err != nil {
			t.Errorf("%q: %q, %v, want %q", cfg.BinDir, got, err, want)
		}
	}
}
