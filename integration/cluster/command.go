package cluster

import (
	"bytes"
	"context"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/muster/muster/cli"
	"github.com/muster/muster/cli/command"
)

// Output is what a command printed, and its exit status.
type Output struct {
	Out, Err string
	Status   int
}

// Muster runs a command line as a user of the machine does, by its own socket
// and without any environment variable.
func (n *Node) Muster(ctx context.Context, args ...string) Output {
	c := n.cluster
	c.t.Helper()
	env, closeConn := command.NewEnv(strings.NewReader(""), os.Stdout, os.Stderr, "test")
	defer func() { c.must(closeConn()) }()
	outside := c.network.host(n.Name, n.addr) // outlives the daemon
	env.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return outside.dial(ctx, n.Name, socketOf(n.Name))
	}
	env.LookupEnv = func(string) (string, bool) { return "", false }
	var stdout, stderr bytes.Buffer
	env.Out, env.Err, env.Screen = &stdout, &stderr, nil
	status := cli.Run(ctx, env, args)
	return Output{stdout.String(), stderr.String(), status}
}

// T is the test that the cluster runs in.
func (c *Cluster) T() *testing.T { return c.t }
