package cli_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/cli/clitest"
	controlpb "github.com/muster/muster/proto/control/v1"
)

// TestCompletionOfNames asks as the scripts of shells do.
func TestCompletionOfNames(t *testing.T) {
	const noFiles, files = ":4", ":0"
	c := clitest.Start(t)
	c.Images = []*controlpb.LocalImage{{Name: "docker.io/library/nginx:1.29"}, {Name: "docker.io/library/redis@sha256:" + strings.Repeat("f", 64)}}
	tests := map[string]string{
		"node inspect ":                   "alpha beta self " + noFiles,
		"node inspect alpha ":             "beta self " + noFiles,
		"node rm be":                      "beta " + noFiles,
		"node update ":                    "alpha beta " + noFiles,
		"node update alpha ":              noFiles,
		"node update --availability ":     "active pause drain " + noFiles,
		"swarm init --availability ":      "active pause drain " + noFiles,
		"swarm join-token ":               "manager worker " + noFiles,
		"image rm ":                       "nginx:1.29 " + noFiles,
		"image load ":                     files,
		"info ":                           noFiles,
		"--host unix:///nowhere node rm ": noFiles,
	}
	for line, want := range tests {
		r := c.Run(t, append([]string{"__complete"}, strings.Split(line, " ")...)...)
		if got := strings.Join(strings.Fields(r.Out), " "); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

// TestCompletionDoesNotWait asks managers that cannot answer.
func TestCompletionDoesNotWait(t *testing.T) {
	c := clitest.Start(t)
	for range 50 {
		c.Fail("ListNodes", errdefs.ErrUnavailable.WithMessage("no leader"))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r := c.Run(t, "__complete", "node", "rm", "")
	if ctx.Err() != nil || r.Out != ":4\n" {
		t.Errorf("%+v, %v", r, ctx.Err())
	}
}
