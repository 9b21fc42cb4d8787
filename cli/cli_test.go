package cli_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/muster/muster/cli"
	"github.com/muster/muster/cli/command"
)

// everything visits a command and all below it.
func everything(cmd *cobra.Command, visit func(*cobra.Command)) {
	visit(cmd)
	for _, c := range cmd.Commands() {
		everything(c, visit)
	}
}

func testEnv(out, err *bytes.Buffer) *command.Env {
	env, _ := command.NewEnv(strings.NewReader(""), os.Stdout, os.Stderr, "1.0")
	env.Out, env.Err, env.Screen = out, err, nil
	env.LookupEnv = func(string) (string, bool) { return "", false }
	return env
}

func TestEveryCommandAndFlagIsDescribed(t *testing.T) {
	root := cli.Root(testEnv(new(bytes.Buffer), new(bytes.Buffer)))
	n := 0
	everything(root, func(cmd *cobra.Command) {
		n++
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: short help %q, want a phrase", cmd.CommandPath(), cmd.Short)
		}
		if cmd.RunE == nil {
			t.Errorf("%s does nothing", cmd.CommandPath())
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s --%s is not described", cmd.CommandPath(), f.Name)
			}
		})
	})
	if n < 30 {
		t.Errorf("%d commands, want all of them", n)
	}
}

func TestExitStatusesAreDocumented(t *testing.T) {
	for _, verb := range []string{"create", "update", "scale", "rollback", "resume", "promote", "restart"} {
		var out, stderr bytes.Buffer
		if status := cli.Run(t.Context(), testEnv(&out, &stderr), []string{"service", verb, "--help"}); status != command.ExitOK {
			t.Errorf("%s --help: exit status %d", verb, status)
		}
		for _, number := range []int{command.ExitRolledBack, command.ExitPaused, command.ExitTimeout, command.ExitInterrupted} {
			if !strings.Contains(out.String(), fmt.Sprintf("  %d  ", number)) {
				t.Errorf("%s --help does not tell about exit status %d", verb, number)
			}
		}
	}
}

func TestMoreCommands(t *testing.T) {
	var out, stderr bytes.Buffer
	ran := false
	daemon := &cobra.Command{Use: "daemon", RunE: func(*cobra.Command, []string) error { ran = true; return nil }}
	if status := cli.Run(t.Context(), testEnv(&out, &stderr), []string{"daemon"}, daemon); status != command.ExitOK || !ran {
		t.Errorf("exit status %d, ran %v: %s", status, ran, stderr.String())
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		var out, stderr bytes.Buffer
		if status := cli.Run(t.Context(), testEnv(&out, &stderr), []string{"completion", shell}); status != command.ExitOK || out.Len() == 0 {
			t.Errorf("%s: exit status %d, %d bytes: %s", shell, status, out.Len(), stderr.String())
		}
	}
	var out, stderr bytes.Buffer
	status := cli.Run(t.Context(), testEnv(&out, &stderr), []string{"completion", "--help"})
	if help := out.String(); status != command.ExitOK || !strings.Contains(help, "fish") || strings.Contains(help, "powershell") {
		t.Errorf("exit status %d and the help\n%s", status, help)
	}
}

// full is a standard output on a disk that is full.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

// A command whose result is lost has failed, whatever else it did.
func TestOutputThatCannotBeWritten(t *testing.T) {
	for _, args := range [][]string{{"help"}, {"--version"}, {"service", "create", "--help"}, {"completion", "bash"}} {
		var stderr bytes.Buffer
		env := testEnv(nil, &stderr)
		env.Out = full{}
		if status := cli.Run(t.Context(), env, args); status != command.ExitFailure || !strings.Contains(stderr.String(), "no space left on device") {
			t.Errorf("%v: status %d and %q", args, status, stderr.String())
		}
	}
}
