package service

import (
	"testing"

	"github.com/muster/muster/cli/command"
)

func TestMisplaced(t *testing.T) {
	fs := newCreateCommand(&command.Env{}).Flags()
	for arg, warned := range map[string]bool{
		"-p": true, "-p80:80": true, "--publish": true, "--replicas=2": true, "--name": true, "-d": true,
		"": false, "sleep": false, "-": false, "--": false, "-Z": false, "--config.file=x": false, "-é": false,
	} {
		if got := misplaced(fs, []string{arg, "x"}); (got != "") != warned {
			t.Errorf("%q: %q, want a warning: %t", arg, got, warned)
		}
	}
	if got := misplaced(fs, []string{"sleep", "-d"}) + misplaced(fs, nil); got != "" {
		t.Errorf("with a command: %q", got)
	}
}
