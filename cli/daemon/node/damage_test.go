package node

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

func TestDamagedSettings(t *testing.T) {
	dir := t.TempDir()
	if _, err := loadSettings(dir); !errdefs.IsDataLoss(err) || !strings.Contains(err.Error(), "is missing: restore it") {
		t.Errorf("without the file: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, settingsFile), []byte(`{"listen":"0.0`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadSettings(dir); !errdefs.IsDataLoss(err) || !strings.Contains(err.Error(), "is damaged") {
		t.Errorf("with half of the file: %v", err)
	}
}

// TestLostIdentity resumes without the file that says who the node is.
func TestLostIdentity(t *testing.T) {
	n := New(Config{StateDir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	settings, raft := filepath.Join(n.cfg.StateDir, settingsFile), filepath.Join(n.cfg.raftDir(), "raft.db")
	if err := errors.Join(os.Mkdir(n.cfg.raftDir(), 0o700), os.WriteFile(raft, nil, 0o600), os.WriteFile(settings, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := n.resume(t.Context()); !errdefs.IsDataLoss(err) {
		t.Errorf("a manager without its identity resumes: %v", err)
	}
	if _, err := os.Stat(raft); err != nil {
		t.Errorf("its state: %v", err)
	}
	// A founding that broke off leaves no settings.
	if err := errors.Join(os.Remove(settings), n.resume(t.Context())); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(raft); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what was left of a founding stays: %v", err)
	}
}
