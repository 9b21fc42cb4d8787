package daemon

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/containerd/errdefs"
)

// binDir finds the directory with containerd.
func binDir(cfg Config) (string, error) {
	if cfg.BinDir != "" {
		return filepath.Abs(cfg.BinDir)
	}
	places, err := programDirs()
	if err != nil {
		return "", err
	}
	if path := program(places, "containerd"); path != "" {
		return filepath.Dir(path), nil
	}
	return "", fmt.Errorf("containerd is neither in %s nor in %s nor in PATH: run \"make build\", name its directory with --bin-dir, or a running one with --containerd: %w",
		places[0], places[1], errdefs.ErrNotFound)
}

// initProgram finds the init for containers that ask for one, in BinDir before
// all; "" when there is none, and such containers are rejected.
func initProgram(cfg Config) (string, error) {
	places, err := programDirs()
	if err != nil {
		return "", err
	}
	if cfg.BinDir != "" {
		places = append([]string{cfg.BinDir}, places...)
	}
	path := program(places, "muster-init")
	if path == "" {
		return "", nil
	}
	return filepath.Abs(path)
}

// programDirs are where the programs are that are built with muster: beside it,
// and where they are installed.
func programDirs() ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	beside := filepath.Dir(self)
	return []string{beside, filepath.Join(beside, "..", "lib", "muster")}, nil
}

// program is the path of a program in one of the directories or in PATH; "" when
// it is nowhere.
func program(dirs []string, name string) string {
	for _, dir := range dirs {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			return filepath.Clean(path)
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return ""
	}
	return path
}
