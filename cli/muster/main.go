// Command muster runs containers on a cluster. It is the client and, as
// "muster daemon", the node.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/muster/muster/cli"
	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/daemon"
)

// version is set by the build.
var version = "dev"

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	// Who asks twice is not made to wait for what heeds no context, such as a
	// file that is a pipe nobody writes to.
	context.AfterFunc(ctx, stop)
	env, closeConn := command.NewEnv(os.Stdin, os.Stdout, os.Stderr, version)
	defer func() { _ = closeConn() }()
	return cli.Run(ctx, env, os.Args[1:], daemon.NewCommand(version), daemon.NewLoggerCommand())
}
