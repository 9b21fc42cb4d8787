package scripts

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mattn/go-shellwords"
	"github.com/spf13/pflag"

	"github.com/muster/muster/cli"
	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/daemon"
	"github.com/muster/muster/integration/cluster"
	"github.com/muster/muster/worker/executor"
	"github.com/muster/muster/worker/executor/executortest"
)

// onRealMachines marks a block of a page that is not run; see the package's comment.
const onRealMachines = "real"

// block is what one console block of a page shows.
type block struct {
	on       string // a machine, or onRealMachines
	commands []example
}

// example is one command of a block.
type example struct {
	at      string // PAGE:LINE
	command string
	status  int
	output  []string
}

// TestExamples: what the README and the pages of docs/ show on the command line
// works as they show it.
func TestExamples(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatal("no pages", err)
	}
	for _, page := range append(pages, "../../README.md", "../../CONTRIBUTING.md") {
		name := strings.TrimPrefix(page, "../../")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			blocks := readBlocks(t, name, string(text))
			for _, b := range blocks {
				if b.on == onRealMachines {
					b.check(t)
				}
			}
			blocks = slices.DeleteFunc(blocks, func(b block) bool { return b.on == onRealMachines })
			if len(blocks) == 0 {
				return
			}
			cluster.Run(t, cluster.Config{Managers: 1, Workers: 2, Idle: 3, Mixed: true}, func(ctx context.Context, c *cluster.Cluster) {
				for _, n := range c.Nodes {
					n.Runtime.Script("app:broken", executortest.Behaviour{ExitAfter: time.Second, Exit: executor.Exit{Code: 1}})
				}
				r := &reader{ctx: ctx, cluster: c}
				for _, b := range blocks {
					r.try(c.T(), b)
				}
			})
		})
	}
}

// exitStatus is how a comment behind a command says that it fails.
var exitStatus = regexp.MustCompile(`exit status (\d+)`)

// readBlocks returns the console blocks of a page. Commands anywhere else would
// be tried by nobody.
func readBlocks(t *testing.T, page, text string) (blocks []block) {
	t.Helper()
	in, console := false, false
	for i, line := range strings.Split(text, "\n") {
		at := fmt.Sprintf("%s:%d", page, i+1)
		fence, isFence := strings.CutPrefix(line, "```")
		shown, isCommand := cutPrompt(line)
		switch words := strings.Fields(fence); {
		case isFence && in:
			in, console = false, false
		case isFence:
			in, console = true, len(words) > 0 && words[0] == "console"
			if console {
				blocks = append(blocks, block{on: append(words, "m1")[1]})
			}
		case !console:
			if strings.HasPrefix(shown, "muster ") {
				t.Errorf("%s: show commands in a block that begins with ```console", at)
			}
		case isCommand:
			b := &blocks[len(blocks)-1]
			b.commands = append(b.commands, newExample(at, shown))
		default:
			b := &blocks[len(blocks)-1]
			if len(b.commands) == 0 {
				t.Fatalf("%s: the block does not begin with a command", at)
			}
			e := &b.commands[len(b.commands)-1]
			e.output = append(e.output, line)
		}
	}
	return blocks
}

func cutPrompt(line string) (shown string, ok bool) {
	if shown, ok = strings.CutPrefix(line, "$ "); ok {
		return shown, true
	}
	return strings.CutPrefix(line, "# ")
}

func newExample(at, line string) example {
	shown, comment, _ := strings.Cut(line, "  #")
	e := example{at: at, command: strings.TrimSpace(shown)}
	if m := exitStatus.FindStringSubmatch(comment); m != nil {
		e.status, _ = strconv.Atoi(m[1])
	}
	return e
}

// check looks whether the commands of a block exist, with their flags.
func (b block) check(t *testing.T) {
	t.Helper()
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range b.commands {
		plain, _, _ := strings.Cut(e.command, " | ")
		words, err := shellwords.Parse(plain)
		if err != nil || len(words) == 0 {
			t.Errorf("%s: %v", e.at, err)
			continue
		}
		switch words[0] {
		case "muster":
			if err := parses(words[1:]); err != nil {
				t.Errorf("%s: %v", e.at, err)
			}
		case "make":
			for _, target := range words[1:] {
				if !strings.Contains(string(makefile), "\n"+target+":") {
					t.Errorf("%s: there is no target %q", e.at, target)
				}
			}
		}
	}
}

// parses says what is wrong with a command line, which it does not run.
func parses(args []string) error {
	env := &command.Env{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard}
	root := cli.Root(env, daemon.NewCommand("test"))
	root.InitDefaultCompletionCmd()
	cmd, rest, err := root.Traverse(args)
	if err != nil {
		return err
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	return cmd.ValidateArgs(cmd.Flags().Args())
}

// reader tries what a page says, command by command.
type reader struct {
	ctx     context.Context
	cluster *cluster.Cluster
	join    []string // what the last output said that machines join by
}

// joins finds the command that lets a machine join.
var joins = regexp.MustCompile(`(?m)^ *muster (swarm join --token \S+ \S+)$`)

func (r *reader) try(t *testing.T, b block) {
	t.Helper()
	on := r.cluster.Nodes[b.on]
	if on == nil {
		t.Fatalf("%s: no machine is called %s; a block that is not run says %q", b.commands[0].at, b.on, onRealMachines)
	}
	for _, e := range b.commands {
		words, err := shellwords.Parse(e.command)
		if err != nil || len(words) == 0 || words[0] != "muster" {
			t.Fatalf("%s: only muster is run; a block with other commands says %q", e.at, onRealMachines)
		}
		args := words[1:]
		if strings.Contains(e.command, "swarm join ") {
			args = r.join
		}
		got := on.Muster(r.ctx, args...)
		text := got.Out + got.Err
		if got.Status != e.status {
			t.Fatalf("%s: exit status %d, want %d:\n%s", e.at, got.Status, e.status, text)
		}
		if len(e.output) > 0 && !shows(e.output).MatchString(text) {
			t.Fatalf("%s: the page shows\n%s\nbut the command says\n%s", e.at, strings.Join(e.output, "\n"), text)
		}
		if m := joins.FindStringSubmatch(text); m != nil {
			r.join = strings.Fields(m[1])
		}
	}
}

var spaces = regexp.MustCompile(` +`)

// shows returns what matches the output that a page shows.
func shows(lines []string) *regexp.Regexp {
	pattern := `^`
	for _, line := range lines {
		if line == "…" {
			pattern += `(?:.*\n)*`
			continue
		}
		line = spaces.ReplaceAllString(regexp.QuoteMeta(strings.TrimSpace(line)), ` +`)
		pattern += ` *` + strings.ReplaceAll(line, "…", `.*`) + ` *\n`
	}
	return regexp.MustCompile(pattern + `$`)
}

// TestDaemonOptions: docs/daemon.md has the options of the daemon, all of them
// and no others.
func TestDaemonOptions(t *testing.T) {
	text, err := os.ReadFile("../../docs/daemon.md")
	if err != nil {
		t.Fatal(err)
	}
	told := make(map[string]bool)
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(line, "|"); len(cells) > 2 {
			for _, option := range regexp.MustCompile("`--([a-z-]+)`").FindAllStringSubmatch(cells[1], -1) {
				told[option[1]] = true
			}
		}
	}
	told["config"] = strings.Contains(string(text), "`--config FILE`")
	flags := daemon.NewCommand("test").Flags()
	flags.VisitAll(func(f *pflag.Flag) {
		if !told[f.Name] {
			t.Errorf("docs/daemon.md does not tell of --%s", f.Name)
		}
	})
	for name := range told {
		if flags.Lookup(name) == nil {
			t.Errorf("docs/daemon.md tells of --%s, which there is not", name)
		}
	}
}
