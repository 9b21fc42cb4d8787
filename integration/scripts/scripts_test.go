package scripts

import (
	"cmp"
	"context"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/muster/muster/integration/cluster"
	"github.com/muster/muster/worker/executor"
	"github.com/muster/muster/worker/executor/executortest"
)

func TestScripts(t *testing.T) {
	files, err := filepath.Glob("*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no stories", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(file, ".txtar"), func(t *testing.T) {
			t.Parallel()
			cluster.Run(t, cluster.Config{Managers: 1, Workers: 2, Idle: 1, Mixed: true}, func(ctx context.Context, c *cluster.Cluster) {
				s := story{ctx, c}
				testscript.RunT(inline{c.T()}, testscript.Params{Files: []string{file}, Cmds: s.commands()})
			})
		})
	}
}

// inline is a test whose subtests run at once and in place: a bubble of fake
// time has none.
type inline struct{ *testing.T }

// Parallel implements testscript.T.
func (inline) Parallel() {}

// Run implements testscript.T.
func (t inline) Run(_ string, f func(testscript.T)) { f(t) }

// Verbose implements testscript.T.
func (inline) Verbose() bool { return testing.Verbose() }

// story is what the commands of a script act on.
type story struct {
	ctx     context.Context
	cluster *cluster.Cluster
}

// verb is a command of scripts. Fails tells that it must fail.
type verb struct {
	usage string
	least int // of arguments
	do    func(ts *testscript.TestScript, fails bool, args []string)
}

func (s story) commands() map[string]func(*testscript.TestScript, bool, []string) {
	commands := make(map[string]func(*testscript.TestScript, bool, []string))
	for name, v := range map[string]verb{
		"muster": {"muster [@NODE] STATUS ARGS...", 2, s.muster},
		"join":   {"join NODE FILE", 2, s.join},
		"image":  {"image NAME [KEY=VALUE...]", 1, s.image},
		"pass":   {"pass DURATION", 1, s.pass},
		"crash":  {"crash NODE", 1, s.crash},
	} {
		commands[name] = func(ts *testscript.TestScript, fails bool, args []string) {
			if len(args) < v.least || fails && name != "join" {
				ts.Fatalf("usage: %s", v.usage)
			}
			v.do(ts, fails, args)
		}
	}
	return commands
}

// machine returns a machine by its name.
func (s story) machine(ts *testscript.TestScript, name string) *cluster.Node {
	n := s.cluster.Nodes[name]
	if n == nil {
		ts.Fatalf("no machine is called %s", name)
	}
	return n
}

func (s story) muster(ts *testscript.TestScript, _ bool, args []string) {
	on := s.machine(ts, "m1")
	if name, ok := strings.CutPrefix(args[0], "@"); ok {
		on, args = s.machine(ts, name), args[1:]
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	s.run(ts, on, want, args[1:]...)
}

// run runs a command that must end with a status.
func (s story) run(ts *testscript.TestScript, on *cluster.Node, want int, args ...string) {
	r := on.Muster(s.ctx, args...)
	_, err := ts.Stdout().Write([]byte(r.Out))
	ts.Check(err)
	_, err = ts.Stderr().Write([]byte(r.Err))
	ts.Check(err)
	if r.Status != want {
		ts.Fatalf("exit status %d, want %d", r.Status, want)
	}
}

// join lets a machine join by the token in a file.
func (s story) join(ts *testscript.TestScript, fails bool, args []string) {
	want := 0
	if fails {
		want = 1
	}
	s.run(ts, s.machine(ts, args[0]), want, "swarm", "join",
		"--token", strings.TrimSpace(ts.ReadFile(args[1])), s.cluster.Nodes["m1"].ControlAddr())
}

// image says what the tasks of an image do.
func (s story) image(ts *testscript.TestScript, _ bool, args []string) {
	var b executortest.Behaviour
	for _, arg := range args[1:] {
		key, value, _ := strings.Cut(arg, "=")
		var err error
		switch key {
		case "exit": // with this status, after a second unless "after" says when
			var code int
			code, err = strconv.Atoi(value)
			b.ExitAfter, b.Exit = cmp.Or(b.ExitAfter, time.Second), executor.Exit{Code: int32(code)}
		case "after":
			b.ExitAfter, err = time.ParseDuration(value)
		case "start": // takes so long
			b.StartDelay, err = time.ParseDuration(value)
		case "stop": // takes so long
			b.StopDelay, err = time.ParseDuration(value)
		default:
			ts.Fatalf("no behaviour is called %q", key)
		}
		ts.Check(err)
	}
	for _, n := range s.cluster.Nodes {
		n.Runtime.Script(args[0], b)
	}
}

func (s story) pass(ts *testscript.TestScript, _ bool, args []string) {
	d, err := time.ParseDuration(args[0])
	ts.Check(err)
	time.Sleep(d)
}

// crash cuts a machine's power.
func (s story) crash(ts *testscript.TestScript, _ bool, args []string) {
	s.cluster.PowerOff(s.machine(ts, args[0]))
}
