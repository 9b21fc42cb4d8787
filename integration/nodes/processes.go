package nodes

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Process is one process of a node.
type Process struct {
	PID, Parent int
	// Args is its command line.
	Args []string
}

// String is the command line, for people.
func (p Process) String() string { return strings.Join(p.Args, " ") }

// runs reports whether the process is the program name, run with the first arguments args.
func (p Process) runs(name string, args ...string) bool {
	return len(p.Args) > len(args) && filepath.Base(p.Args[0]) == name && slices.Equal(p.Args[1:1+len(args)], args)
}

// processesOf lists the processes that are in the namespace, or below one that
// is, or in a cgroup below the directory cgroup: a container has a namespace of
// its own, and once its shim is dead only its cgroup tells whose it was.
// This process is never among them, whatever namespace its threads visit.
func processesOf(ns Namespace, cgroup string) ([]Process, error) {
	inode, err := ns.inode()
	if err != nil {
		inode = "none"
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	all := map[int]Process{}
	of := map[int]bool{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		p, err := readProcess(pid)
		if err != nil {
			continue // it ended meanwhile
		}
		all[pid] = p
		net, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid))
		of[pid] = err == nil && net == inode || inCgroup(pid, cgroup)
	}
	for changed := true; changed; {
		changed = false
		for pid, p := range all {
			if !of[pid] && of[p.Parent] {
				of[pid], changed = true, true
			}
		}
	}
	var out []Process
	for pid, p := range all {
		if of[pid] {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b Process) int { return a.PID - b.PID })
	return out, nil
}

func readProcess(pid int) (Process, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Process{}, err
	}
	// "PID (name that may hold anything) STATE PARENT …"
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 2 || fields[0] == "Z" || fields[0] == "X" {
		return Process{}, unix.ESRCH // dead, and waits only for its parent to ask
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return Process{}, err
	}
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return Process{}, err
	}
	args := strings.Split(strings.TrimRight(string(cmdline), "\x00"), "\x00")
	return Process{PID: pid, Parent: parent, Args: args}, nil
}

func inCgroup(pid int, cgroup string) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		// "HIERARCHY:CONTROLLERS:PATH"
		if parts := strings.SplitN(strings.TrimSpace(line), ":", 3); len(parts) == 3 &&
			(parts[2] == cgroup || strings.HasPrefix(parts[2], cgroup+"/")) {
			return true
		}
	}
	return false
}

// killAll kills until list is empty.
func killAll(what string, list func() ([]Process, error)) error {
	return poll(what+" to end", 10*time.Second, func() error {
		left, err := killOnce(list)
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("%d processes are left, first %d: %s", len(left), left[0].PID, left[0])
		}
		return err
	})
}

// killOnce kills what is listed, and returns it.
func killOnce(list func() ([]Process, error)) ([]Process, error) {
	all, err := list()
	if err != nil {
		return nil, err
	}
	for _, p := range all {
		if err := unix.Kill(p.PID, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			return nil, fmt.Errorf("kill %d: %w", p.PID, err)
		}
	}
	return all, nil
}

// RSS is the resident memory of a process in bytes.
func (p Process) RSS() (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.PID))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		return 0, fmt.Errorf("memory of process %d: /proc says %q", p.PID, b)
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}
