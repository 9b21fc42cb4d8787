package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/integration/needs"
)

// TestMakeDemo runs the demo as a newcomer does, then looks for what it left.
func TestMakeDemo(t *testing.T) {
	needs.Root(t, "network namespaces")
	before := world(t)
	out := makeTarget(t, "demo")
	for _, want := range []string{
		"All three replicas answered.", "Three replicas run again", "make demo-down", "$ muster service create",
		"muster swarm join-token worker",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the demo did not say %q", want)
		}
	}
	tryAll(t, out)
	makeTarget(t, "demo-down")
	for name, was := range before {
		if is := world(t)[name]; is != was {
			t.Errorf("%s before:\n%s\nand after:\n%s", name, was, is)
		}
	}
}

// tryAll runs what the demo says can be run, as somebody who pastes it does, and
// looks for the token that joins another node.
func tryAll(t *testing.T, out string) {
	t.Helper()
	_, told, _ := strings.Cut(out, "Look around, as root:\n")
	lines, _, found := strings.Cut(told, "Stop it with:")
	if !found {
		t.Fatalf("the demo does not say what to do next:\n%s", out)
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-e", "-c", lines)
	cmd.Dir = filepath.Join("..", "..")
	got, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(got), "swarm join --token MSTR-1-") || !strings.Contains(string(got), "web-server") {
		t.Errorf("%s\n%v, and said:\n%s", lines, err, got)
	}
}

func makeTarget(t *testing.T, target string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "make", "--no-print-directory", target)
	cmd.Dir = filepath.Join("..", "..")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("make %s: %v\n%s", target, err, out)
	}
	t.Logf("make %s:\n%s", target, out)
	return string(out)
}

// world is what a demo could leave behind on the machine.
func world(t *testing.T) map[string]string {
	t.Helper()
	w := make(map[string]string)
	for name, command := range map[string][]string{
		"namespaces": {"ip", "netns", "list"},
		"rules":      {"nft", "list", "ruleset"},
		"links":      {"ip", "-o", "-brief", "link"},
		"routes":     {"ip", "route", "show", "table", "all"},
	} {
		out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", command, err, out)
		}
		w[name] = string(out)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, directory) {
			w["mounts"] += line
		}
	}
	if _, err := os.Stat(directory); err == nil {
		w["directory"] = directory + " exists"
	} else if !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	w["processes"] = processes(t)
	return w
}

// processes lists those whose command line names the demo's directory.
func processes(t *testing.T) (found string) {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		line, err := os.ReadFile(d)
		if err == nil && strings.Contains(string(line), directory) {
			found += strings.ReplaceAll(string(line), "\x00", " ") + "\n"
		}
	}
	return found
}
