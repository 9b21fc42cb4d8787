package daemon

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
)

// parse reads args, env and a file as the daemon does.
func parse(t *testing.T, args []string, env map[string]string, file string) (*Config, error) {
	t.Helper()
	c, fs := &Config{}, pflag.NewFlagSet("daemon", pflag.ContinueOnError)
	c.AddFlags(fs)
	AddFileFlag(fs)
	if file != "" {
		args = append([]string{"--config", write(t, file)}, args...)
	}
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if err := Fill(fs, func(k string) string { return env[k] }); err != nil {
		return nil, err
	}
	return c, c.Complete()
}

// write makes a configuration file and returns its path.
func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "daemon.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPrecedence(t *testing.T) {
	file := "name: from-file\nlog-level: warn\ngossip-port: 8000\nlabel: [a=1, b=2]\n"
	c, err := parse(t, []string{"--name", "from-flag"}, map[string]string{"MUSTER_LOG_LEVEL": "debug", "MUSTER_NAME": "from-env"}, file)
	if err != nil {
		t.Fatal(err)
	}
	got := []any{c.Name, c.LogLevel, c.GossipPort, c.Labels, c.CgroupParent}
	want := []any{"from-flag", "debug", uint16(8000), []string{"a=1", "b=2"}, "/muster"}
	if d := gocmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestBadConfig(t *testing.T) {
	tests := map[string]struct {
		args []string
		env  map[string]string
		file string
		want string
	}{
		"level":            {[]string{"--log-level", "loud"}, nil, "", `--log-level "loud": use debug, info, warn or error`},
		"format":           {[]string{"--log-format", "xml"}, nil, "", `--log-format "xml"`},
		"name":             {[]string{"--name", "a b"}, nil, "", `name "a b"`},
		"label":            {[]string{"--label", "zone"}, nil, "", `--label "zone"`},
		"cgroup":           {[]string{"--cgroup-parent", "muster"}, nil, "", `--cgroup-parent "muster"`},
		"run dir too long": {[]string{"--run-dir", "/" + strings.Repeat("x", 100)}, nil, "", "too long by"},
		"env":              {nil, map[string]string{"MUSTER_GOSSIP_PORT": "x"}, "", `environment MUSTER_GOSSIP_PORT: gossip-port "x"`},
		"file value":       {nil, nil, "gossip-port: high", `gossip-port "high"`},
		"file key":         {nil, nil, "gosip-port: 1", `unknown setting "gosip-port"`},
		"file syntax":      {nil, nil, "a: [", "configuration file"},
		"no log files":     {[]string{"--task-log-max-files", "0"}, nil, "", "--task-log-max-files 0: use 1 to 1000"},
		"too many":         {[]string{"--task-log-max-files", "18446744073709551615"}, nil, "", "--task-log-max-files 18446744073709551615: use"},
		"tiny log files":   {[]string{"--task-log-max-size", "65535"}, nil, "", "--task-log-max-size 65535: use 65536 to"},
		"endless ones":     {[]string{"--task-log-max-size", "18446744073709551615"}, nil, "", "must be a size in bytes"},
		"no state dir":     {[]string{"--state-dir", ""}, nil, "", "--state-dir is empty"},
		"no run dir":       {nil, nil, "run-dir: ''", "--run-dir is empty"},
		"no gossip port":   {[]string{"--gossip-port", "0"}, nil, "", "--gossip-port 0: use 1 to 65535"},
		"label's name":     {[]string{"--label", "=x"}, nil, "", `--label "=x"`},
		"nested":           {nil, nil, "label: {zone: a}", `"label": use a value or a list`},
		"list of lists":    {nil, nil, "label: [[a=1]]", `"label": use a value or a list`},
		"nothing in list":  {nil, nil, "label: [~]", `"label": use a value or a list`},
		"a list in itself": {nil, nil, "label: &l [*l]", `"label": use a value or a list`},
		"said twice":       {nil, nil, "name: a\nname: b", "already defined"},
		"a file's file":    {nil, nil, "config: /x", `unknown setting "config"`},
		"a file's help":    {nil, nil, "help: true", `unknown setting "help"`},
		"not a mapping":    {nil, nil, "- name", "configuration file"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := parse(t, tt.args, tt.env, tt.file); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %s", err, tt.want)
			}
		})
	}
}

func TestMissingFileMattersOnlyWhenAsked(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none.yaml")
	for _, tt := range []struct {
		def    string // what is read when no file is named
		args   []string
		env    string
		failed bool
	}{
		{none, nil, "", false},
		{none, []string{"--config", none}, "", true},
		{none, nil, none, true},
	} {
		fs := pflag.NewFlagSet("daemon", pflag.ContinueOnError)
		(&Config{}).AddFlags(fs)
		fs.String(fileFlag, tt.def, "")
		if err := fs.Parse(tt.args); err != nil {
			t.Fatal(err)
		}
		err := Fill(fs, func(k string) string { return map[string]string{"MUSTER_CONFIG": tt.env}[k] })
		if (err != nil) != tt.failed {
			t.Errorf("%v with MUSTER_CONFIG=%s: %v", tt.args, tt.env, err)
		}
	}
}

// Every option can be set in the environment, and so can the file.
func TestFileIsNamedByFlagThenByEnvironment(t *testing.T) {
	other := write(t, "name: other\n")
	c, err := parse(t, nil, map[string]string{"MUSTER_CONFIG": other}, "")
	if err != nil || c.Name != "other" {
		t.Errorf("by the environment: name %q, %v", c.Name, err)
	}
	c, err = parse(t, nil, map[string]string{"MUSTER_CONFIG": other}, "name: one\n")
	if err != nil || c.Name != "one" {
		t.Errorf("by both: name %q, %v, want the flag's file", c.Name, err)
	}
}

// A file says what it means as an option would: what is written counts, not
// what YAML makes of it.
func TestValuesOfTheFile(t *testing.T) {
	tests := map[string]struct {
		file string
		want Config // what differs from the default
	}{
		"text":                      {"name: web-1", Config{Name: "web-1"}},
		"in quotes":                 {`name: "web-1"`, Config{Name: "web-1"}},
		"a name of digits":          {"name: 0100", Config{Name: "0100"}},
		"one like another number":   {"name: 0x10", Config{Name: "0x10"}},
		"one like a fraction":       {"name: 1.10", Config{Name: "1.10"}},
		"one like a date":           {"name: 2026-01-02", Config{Name: "2026-01-02"}},
		"one like a truth":          {"name: true", Config{Name: "true"}},
		"a number":                  {"name: n\ntask-log-max-size: 70000", Config{Name: "n", LogMaxSize: 70000}},
		"an amount with a unit":     {"name: n\ntask-log-max-size: 64KiB", Config{Name: "n", LogMaxSize: 64 << 10}},
		"one label":                 {"name: n\nlabel: a=1", Config{Name: "n", Labels: []string{"a=1"}}},
		"several labels":            {"name: n\nlabel:\n- a=1\n- b=2", Config{Name: "n", Labels: []string{"a=1", "b=2"}}},
		"the same as before":        {"name: &n n\ncontainerd: *n", Config{Name: "n", Containerd: "n"}},
		"left empty":                {"name: n\ncontainerd:\nlabel: []", Config{Name: "n"}},
		"a comment and nothing":     {"name: n # this one", Config{Name: "n"}},
		"a directory below another": {"name: n\nstate-dir: /a/../b", Config{Name: "n", StateDir: "/b"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			want, err := parse(t, []string{"--name", tt.want.Name}, nil, "")
			if err != nil {
				t.Fatal(err)
			}
			want.Containerd, want.Labels = tt.want.Containerd, tt.want.Labels
			want.StateDir, want.LogMaxSize = cmp.Or(tt.want.StateDir, want.StateDir), cmp.Or(tt.want.LogMaxSize, want.LogMaxSize)
			got, err := parse(t, nil, nil, tt.file)
			if err != nil {
				t.Fatal(err)
			}
			if d := gocmp.Diff(want, got); d != "" {
				t.Errorf("config (-want +got):\n%s", d)
			}
		})
	}
}

// Each flag has a variable and a setting, and each of them does what the flag does.
func TestEveryFlagIsAlsoAVariableAndASetting(t *testing.T) {
	value := map[string]string{
		"state-dir": "/s", "run-dir": "/r", "name": "n", "containerd": "/c", "bin-dir": "/b", "cgroup-parent": "/g", "registry-dir": "/h",
		"gossip-port": "1", "log-level": "warn", "log-format": "json", "task-log-max-size": "70000", "task-log-max-files": "7", "label": "a=1",
	}
	fs := pflag.NewFlagSet("daemon", pflag.ContinueOnError)
	(&Config{}).AddFlags(fs)
	fs.VisitAll(func(f *pflag.Flag) {
		v, ok := value[f.Name]
		if !ok {
			t.Fatalf("--%s is not tried here", f.Name)
		}
		flag, err := parse(t, []string{"--" + f.Name, v}, nil, "")
		if err != nil {
			t.Fatal(err)
		}
		if untouched, err := parse(t, nil, nil, ""); err != nil || gocmp.Equal(flag, untouched) {
			t.Errorf("--%s %s changes nothing, %v", f.Name, v, err)
		}
		env, err := parse(t, nil, map[string]string{EnvName(f.Name): v}, "")
		if d := gocmp.Diff(flag, env); d != "" || err != nil {
			t.Errorf("%s: %v (-flag +environment):\n%s", EnvName(f.Name), err, d)
		}
		set, err := parse(t, nil, nil, f.Name+": "+v)
		if d := gocmp.Diff(flag, set); d != "" || err != nil {
			t.Errorf("%s: %v (-flag +file):\n%s", f.Name, err, d)
		}
	})
}

func TestLabelsAreSplitAtTheFirstEqualsSign(t *testing.T) {
	c := Config{Labels: []string{"zone=a", "expr=x=y", "empty="}}
	want := map[string]string{"zone": "a", "expr": "x=y", "empty": ""}
	if d := gocmp.Diff(want, c.labels()); d != "" {
		t.Errorf("labels (-want +got):\n%s", d)
	}
}

func TestHold(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	f, err := hold("state", dir, 0o700)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := hold("state", dir, 0o700); err == nil || !strings.Contains(err.Error(), "in use by another daemon (process") {
		t.Errorf("a second daemon got: %v", err)
	}
	// One that was killed holds the lock until the kernel has ended it.
	time.AfterFunc(100*time.Millisecond, func() { _ = f.Close() })
	again, err := hold("state", dir, 0o700)
	if err != nil {
		t.Fatalf("after the first let go: %v", err)
	}
	_ = again.Close()
}
