package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
)

// parse reads args, env and a file as the daemon does.
func parse(t *testing.T, args []string, env map[string]string, file string) (*Config, error) {
	t.Helper()
	c, fs := &Config{}, pflag.NewFlagSet("daemon", pflag.ContinueOnError)
	c.AddFlags(fs)
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	path := filepath.Join(t.TempDir(), "daemon.yaml")
	if file != "" {
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := Fill(fs, path, file != "", func(k string) string { return env[k] }); err != nil {
		return nil, err
	}
	return c, c.Complete()
}

func TestPrecedence(t *testing.T) {
	file := "name: from-file\nlog-level: warn\ngossip-port: 8000\nlabel: [a=1, b=2]\n"
	c, err := parse(t, []string{"--name", "from-flag"}, map[string]string{"MUSTER_LOG_LEVEL": "debug", "MUSTER_NAME": "from-env"}, file)
	if err != nil {
		t.Fatal(err)
	}
	got := []any{c.Name, c.LogLevel, c.GossipPort, c.Labels, c.CgroupParent}
	want := []any{"from-flag", "debug", uint16(8000), []string{"a=1", "b=2"}, "/muster"}
	if d := cmp.Diff(want, got); d != "" {
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
		"no log files":     {[]string{"--task-log-max-files", "0"}, nil, "", "--task-log-max-files 0"},
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
	fs := pflag.NewFlagSet("daemon", pflag.ContinueOnError)
	(&Config{}).AddFlags(fs)
	if err := Fill(fs, none, false, os.Getenv); err != nil {
		t.Error(err)
	}
	if err := Fill(fs, none, true, os.Getenv); err == nil {
		t.Error("a file that was asked for and is missing was ignored")
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
