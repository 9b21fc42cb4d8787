// Command muster-init is the first process of a container whose service asks
// for one (service create --init). It runs the service's program, passes on to
// it every signal that it gets, frees all processes that end in the container,
// and ends as the program does.
//
// It is a program of its own, and not a command of muster, because it is in
// every such container: it has a twentieth of muster's size, and counts as much
// less against the task's limits.
package main

import (
	"os"
	"os/signal"
	"runtime"
	"syscall"
)

func main() {
	runtime.GOMAXPROCS(1) // the task's limit of processes counts threads
	os.Exit(run(os.Args[1:]))
}

// run runs the program and arguments behind "--", and returns its exit status
// as a shell would: 128 and the number of the signal that ended it, 127 when
// there is no such program, 126 when it cannot be run.
func run(args []string) int {
	if len(args) < 2 || args[0] != "--" {
		return fail(2, "usage: muster-init -- PROGRAM [ARGUMENT...]")
	}
	// Before the program runs, so that no signal is lost. One of SIGCHLD is
	// enough: whatever has ended by then is found.
	passed := toPass()
	signals, ended := make(chan os.Signal, len(passed)), make(chan os.Signal, 1)
	signal.Notify(signals, passed...)
	signal.Notify(ended, syscall.SIGCHLD)
	pid, status := start(args[1:])
	if pid == 0 {
		return status
	}
	for {
		select {
		case s := <-signals:
			pass(pid, s)
		case <-ended:
			if status, over := reap(pid); over {
				return status
			}
		}
	}
}

// fail tells why the program does not run, where its own output would be.
func fail(status int, why string) int {
	_, _ = os.Stderr.WriteString("muster-init: " + why + "\n")
	return status
}
