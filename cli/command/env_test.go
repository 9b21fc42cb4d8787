package command

import "testing"

func TestRedraws(t *testing.T) {
	for kind, want := range map[string]bool{"": false, "dumb": false, "xterm-256color": true, "linux": true} {
		if got := redraws(kind); got != want {
			t.Errorf("TERM=%q: redrawn %v, want %v", kind, got, want)
		}
	}
}
