package daemon

import (
	"os"
	"path/filepath"
	"testing"
)

func TestMachineStops(t *testing.T) {
	tests := map[string]struct {
		systemctl string
		want      bool
	}{
		"it runs":             {"echo running", false},
		"it runs, not well":   {"echo degraded; exit 1", false},
		"it shuts down":       {"echo stopping; exit 1", true},
		"systemd is offline":  {"echo offline; exit 1", false},
		"systemctl fails":     {"echo 'Failed to connect to bus' >&2; exit 1", false},
		"there is no systemd": {"", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			t.Setenv("PATH", dir)
			if tt.systemctl != "" {
				if err := os.WriteFile(filepath.Join(dir, "systemctl"), []byte("#!/bin/sh\n"+tt.systemctl+"\n"), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			if got := machineStops(t.Context()); got != tt.want {
				t.Errorf("the machine shuts down: %t, want %t", got, tt.want)
			}
		})
	}
}
