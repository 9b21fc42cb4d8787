package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/muster/muster/integration/needs"
)

// asInit makes this test program behave as the one that is tested.
const asInit = "MUSTER_TEST_INIT"

func TestMain(m *testing.M) {
	if os.Getenv(asInit) != "" {
		main()
	}
	os.Exit(m.Run())
}

// first is the init with a program, as the first process of its own pid namespace.
func first(t *testing.T, argv ...string) *exec.Cmd {
	t.Helper()
	needs.Root(t, "pid namespaces")
	cmd := exec.CommandContext(t.Context(), os.Args[0], argv...)
	cmd.Env = append(os.Environ(), asInit+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	return cmd
}

// TestRun: the init ends as its program does.
func TestRun(t *testing.T) {
	notProgram := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(notProgram, []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		argv   []string
		status int
		output string
	}{
		"success":       {[]string{"--", "true"}, 0, ""},
		"failure":       {[]string{"--", "sh", "-c", "echo $0 $1; exit 7", "a", "b c"}, 7, "a b c\n"},
		"signal":        {[]string{"--", "sh", "-c", "kill -KILL $$"}, 137, ""},
		"options of it": {[]string{"--", "echo", "--", "-x"}, 0, "-- -x\n"},
		"own group":     {[]string{"--", "sh", "-c", "kill -KILL 0"}, 137, ""},
		"unknown":       {[]string{"--", "fly"}, 127, "muster-init: exec: \"fly\": executable file not found in $PATH\n"},
		"unknown path":  {[]string{"--", "/fly"}, 127, "muster-init: /fly: no such file or directory\n"},
		"no program":    {[]string{"--", notProgram}, 126, "muster-init: " + notProgram + ": permission denied\n"},
		"nothing":       {[]string{"--"}, 2, "muster-init: usage: muster-init -- PROGRAM [ARGUMENT...]\n"},
		"no dashes":     {[]string{"true"}, 2, "muster-init: usage: muster-init -- PROGRAM [ARGUMENT...]\n"},
		"others end first": {
			[]string{"--", "sh", "-c", "for i in 1 2 3; do (sh -c 'exit 9' &); done; sleep 0.1; exit 3"}, 3, "",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cmd := first(t, tt.argv...)
			out, err := cmd.CombinedOutput()
			if cmd.ProcessState.ExitCode() != tt.status || string(out) != tt.output {
				t.Errorf("status %d, printed %q (%v), want %d, %q", cmd.ProcessState.ExitCode(), out, err, tt.status, tt.output)
			}
		})
	}
}

// TestSignals: what the init is sent, the program gets.
func TestSignals(t *testing.T) {
	for _, name := range []string{"HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "WINCH", "TSTP", "CONT", "PIPE", "ALRM"} {
		t.Run(name, func(t *testing.T) {
			cmd := first(t, "--", "sh", "-c", "trap 'exit 5' "+name+"; echo ready; while :; do sleep 0.05; done")
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
				t.Fatalf("printed %q, %v", line, err)
			}
			kill := exec.CommandContext(t.Context(), "kill", "-"+name, strconv.Itoa(cmd.Process.Pid))
			if out, err := kill.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v", out, err)
			}
			_ = cmd.Wait()
			if got := cmd.ProcessState.ExitCode(); got != 5 {
				t.Errorf("status %d, want 5", got)
			}
		})
	}
}

// TestZombies: the init frees children that are not its program's.
func TestZombies(t *testing.T) {
	const script = `for i in $(seq 50); do (sleep 0 &); done
for i in $(seq 200); do
  left=$(grep -h -e '^State:.*zombie' /proc/[0-9]*/status 2>/dev/null | wc -l); test $left = 0 && exit 0; sleep 0.05
done; echo $left zombies`
	cmd := first(t, "--", "unshare", "--mount", "sh", "-c", "mount -t proc proc /proc; "+script)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%s, %v", strings.TrimSpace(string(out)), err)
	}
}
