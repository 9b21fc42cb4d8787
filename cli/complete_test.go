package cli_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"

	"github.com/muster/muster/cli/clitest"
	controlpb "github.com/muster/muster/proto/control/v1"
)

// TestCompletionOfWords asks as the scripts of shells do, on a machine whose
// daemon does not run.
func TestCompletionOfWords(t *testing.T) {
	const noFiles, files = ":4", ":0"
	tests := map[string]string{
		"node update --availability ": "active pause drain " + noFiles,
		"swarm init --availability ":  "active pause drain " + noFiles,
		"swarm join-token ":           "manager worker " + noFiles,
		"image load ":                 files,
		"info ":                       noFiles,
		"node rm ":                    noFiles,
	}
	for line, want := range tests {
		r := clitest.Nobody().Run(t, append([]string{"__complete"}, strings.Split(line, " ")...)...)
		if got := strings.Join(strings.Fields(r.Out), " "); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

// leaderless are managers that cannot answer.
type leaderless struct {
	controlpb.UnimplementedNodeServiceServer
}

// ListNodes cannot be answered.
func (leaderless) ListNodes(context.Context, *controlpb.ListNodesRequest) (*controlpb.ListNodesResponse, error) {
	return nil, errdefs.ErrUnavailable.WithMessage("no leader")
}

// TestCompletionDoesNotWait asks managers that cannot answer.
func TestCompletionDoesNotWait(t *testing.T) {
	c := clitest.Serve(t, func(r grpc.ServiceRegistrar) { controlpb.RegisterNodeServiceServer(r, leaderless{}) })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r := c.Run(t, "__complete", "node", "rm", "")
	if ctx.Err() != nil || r.Out != ":4\n" {
		t.Errorf("%+v, %v", r, ctx.Err())
	}
}
