// Package clitest runs commands in tests of single commands, against services
// that the test makes. Stories with a cluster are in integration/scripts.
package clitest

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/muster/muster/cli"
	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/dispatcher/rpcerror"
)

// Now is the time that commands see.
func Now() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

// Daemon is where commands find what answers them.
type Daemon struct{ socket string }

// Nobody is a daemon that does not run.
func Nobody() Daemon { return Daemon{"/no/such/muster.sock"} }

// Serve runs a daemon that has the services which register adds, until the
// test ends.
func Serve(t *testing.T, register func(grpc.ServiceRegistrar)) Daemon {
	t.Helper()
	dir, err := os.MkdirTemp("", "muster-cli-") //nolint:usetesting // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	d := Daemon{filepath.Join(dir, "muster.sock")}
	listener, err := net.Listen("unix", d.socket)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(rpcerror.ServerOptions()...)
	register(server)
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(listener); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(func() {
		server.Stop()
		serving.Wait()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return d
}

// Host is where the daemon listens, as --host takes it.
func (d Daemon) Host() string { return "unix://" + d.socket }

// Result is what a command left behind.
type Result struct {
	Out, Err string
	Status   int
}

// Run runs a command line.
func (d Daemon) Run(t *testing.T, args ...string) Result {
	t.Helper()
	return d.RunWith(t, "", args...)
}

// RunWith is Run with standard input.
func (d Daemon) RunWith(t *testing.T, input string, args ...string) Result {
	t.Helper()
	env, closeConn := command.NewEnv(strings.NewReader(input), os.Stdout, os.Stderr, "1.0")
	defer func() {
		if err := closeConn(); err != nil {
			t.Errorf("close: %v", err)
		}
	}()
	var stdout, stderr bytes.Buffer
	env.Out, env.Err, env.Screen, env.Now, env.Host = &stdout, &stderr, nil, Now, d.Host()
	env.LookupEnv = func(string) (string, bool) { return "", false }
	status := cli.Run(t.Context(), env, args)
	return Result{stdout.String(), stderr.String(), status}
}
