package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// asMuster has the test binary be muster itself.
const asMuster = "MUSTER_TEST_AS_MUSTER"

func TestMain(m *testing.M) {
	if os.Getenv(asMuster) != "" {
		os.Exit(run())
	}
	os.Exit(m.Run())
}

// TestSecondSignalEnds has the client read variables from a pipe that says
// nothing and does not end.
func TestSecondSignalEnds(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			pipe := filepath.Join(t.TempDir(), "variables")
			if err := syscall.Mkfifo(pipe, 0o600); err != nil {
				t.Fatal(err)
			}
			client := exec.CommandContext(t.Context(), os.Args[0], "service", "create", "--env-file", pipe, "nginx")
			client.Env = append(os.Environ(), asMuster+"=1")
			if err := client.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- client.Wait() }()
			// This returns once the client has opened the pipe too.
			writer, err := os.OpenFile(pipe, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer writer.Close()
			for range 2 {
				if err := client.Process.Signal(signal); err != nil {
					t.Fatal(err)
				}
				select {
				case err = <-ended:
				case <-time.After(time.Second): // the first is heeded by what has a context
				}
			}
			if err == nil {
				err = <-ended
			}
			var status *exec.ExitError
			if !errors.As(err, &status) || status.Sys().(syscall.WaitStatus).Signal() != signal {
				t.Errorf("the client ended with %v, want it ended by %v", err, signal)
			}
		})
	}
}
