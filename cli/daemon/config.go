package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/spf13/pflag"
	"gopkg.in/yaml.v3"

	"github.com/muster/muster/cli/flags"
	"github.com/muster/muster/proto/spec"
)

// Config is how a daemon is set up. Every field is a flag; a flag that is not
// given is taken from the environment (MUSTER_STATE_DIR for --state-dir), then
// from the configuration file (state-dir: …), then from the default.
type Config struct {
	// StateDir keeps what must survive a reboot.
	StateDir string
	// RunDir keeps sockets and pipes; lost on a reboot.
	RunDir string
	// Name of the node; the host's name when empty.
	Name string
	// Containerd is the socket of a containerd to use; empty runs our own.
	Containerd string
	// BinDir holds containerd, its shim and runc; when empty they are looked
	// for beside muster, in ../lib/muster and in PATH.
	BinDir string
	// CgroupParent is the cgroup that containers are put under.
	CgroupParent string
	// HostsDir holds registry settings in containerd's hosts.toml format.
	HostsDir string
	// GossipPort is the membership port, tcp and udp.
	GossipPort uint16
	// LogLevel is debug, info, warn or error; LogFormat is text or json.
	LogLevel, LogFormat string
	// LogMaxSize is the size in bytes at which a task's log file is rotated;
	// LogMaxFiles is how many are kept.
	LogMaxSize  uint64
	LogMaxFiles uint
	// Labels are NAME=VALUE, matched by engine.labels.NAME constraints.
	Labels []string
}

// DefaultConfigFile is read when it exists and no other is named.
const DefaultConfigFile = "/etc/muster/daemon.yaml"

// AddFlags declares the daemon's flags.
func (c *Config) AddFlags(set *pflag.FlagSet) {
	set.StringVar(&c.StateDir, "state-dir", "/var/lib/muster", "directory for what must survive a reboot")
	set.StringVar(&c.RunDir, "run-dir", "/run/muster", "directory for sockets and pipes")
	set.StringVar(&c.Name, "name", "", "name of this node (default the host's name)")
	set.StringVar(&c.Containerd, "containerd", "", "socket of a containerd to use instead of the one that muster brings")
	set.StringVar(&c.BinDir, "bin-dir", "", "directory with containerd, its shim and runc (default beside muster, ../lib/muster, then PATH)")
	set.StringVar(&c.CgroupParent, "cgroup-parent", "/muster", "cgroup to put containers under")
	set.StringVar(&c.HostsDir, "registry-dir", "/etc/muster/certs.d", "directory with registry settings, REGISTRY/hosts.toml")
	set.Uint16Var(&c.GossipPort, "gossip-port", 7946, "membership port, TCP and UDP")
	set.StringVar(&c.LogLevel, "log-level", "info", "log level: debug, info, warn or error")
	set.StringVar(&c.LogFormat, "log-format", "text", "log format: text or json")
	c.LogMaxSize = 10 << 20
	size := flags.Var(set, "task-log-max-size", "", "size at which a task's log file is rotated", flags.Size, func(n int64) { c.LogMaxSize = uint64(n) })
	flags.Default(size, "10m")
	set.UintVar(&c.LogMaxFiles, "task-log-max-files", 3, "number of log files to keep for a task")
	set.StringArrayVar(&c.Labels, "label", nil, "label of this node for engine.labels.NAME constraints: `name=value` (repeatable)")
}

// fileFlag names the configuration file.
const fileFlag = "config"

// AddFileFlag declares the flag that names the configuration file. It can be
// set in the environment, but not in the file.
func AddFileFlag(set *pflag.FlagSet) {
	set.String(fileFlag, DefaultConfigFile, "configuration file")
}

// Fill sets the flags that were not given from the environment and the file.
// A missing file is an error only when it was asked for.
func Fill(set *pflag.FlagSet, getenv func(string) string) error {
	file, asked := configFile(set, getenv)
	settings, err := readFile(file, asked)
	if err != nil {
		return err
	}
	for name := range settings {
		if !isSetting(set.Lookup(name)) {
			return fmt.Errorf("configuration file %s: unknown setting %q: the settings are named as the flags of \"muster daemon\": %w", file, name, errdefs.ErrInvalidArgument)
		}
	}
	var errs []error
	set.VisitAll(func(f *pflag.Flag) {
		if f.Changed || !isSetting(f) {
			return
		}
		from, values := "environment "+EnvName(f.Name), []string{getenv(EnvName(f.Name))}
		if values[0] == "" {
			from, values = "configuration file "+file, settings[f.Name]
		}
		for _, v := range values {
			if err := set.Set(f.Name, v); err != nil {
				errs = append(errs, fmt.Errorf("%s: %s %q: %w: %w", from, f.Name, v, err, errdefs.ErrInvalidArgument))
			}
		}
	})
	return errors.Join(errs...)
}

// configFile returns which file to read, and whether it was named.
func configFile(set *pflag.FlagSet, getenv func(string) string) (path string, asked bool) {
	f := set.Lookup(fileFlag)
	if v := getenv(EnvName(fileFlag)); v != "" && !f.Changed {
		return v, true
	}
	return f.Value.String(), f.Changed
}

// isSetting reports whether the flag says how the daemon is set up.
func isSetting(f *pflag.Flag) bool {
	return f != nil && f.Name != fileFlag && f.Name != "help"
}

// EnvName returns the environment variable that stands for a flag.
func EnvName(flag string) string {
	return "MUSTER_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// readFile returns the settings as lists, since some flags repeat.
func readFile(path string, asked bool) (map[string][]string, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !asked {
		return nil, nil //nolint:nilnil // no settings
	}
	if err != nil {
		return nil, fmt.Errorf("configuration file: %w", err)
	}
	var raw map[string]yaml.Node
	if err := yaml.Unmarshal(data, &raw); err != nil {
		return nil, fmt.Errorf("configuration file %s: %w: %w", path, err, errdefs.ErrInvalidArgument)
	}
	settings := make(map[string][]string)
	for name, node := range raw {
		values, ok := scalars(&node)
		if !ok {
			return nil, fmt.Errorf("configuration file %s: %q: use a value or a list: %w", path, name, errdefs.ErrInvalidArgument)
		}
		settings[name] = values
	}
	return settings, nil
}

// scalars returns a value or those of a list. Not ok for what is neither.
func scalars(node *yaml.Node) (values []string, ok bool) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind != yaml.SequenceNode {
		if isNull(node) {
			return nil, true
		}
		v, ok := scalar(node)
		return []string{v}, ok
	}
	for _, e := range node.Content {
		v, ok := scalar(e)
		if !ok || isNull(e) {
			return nil, false
		}
		values = append(values, v)
	}
	return values, true
}

// scalar returns a value as it is written: YAML would make another number of
// 0100, and a time of 2026-01-02.
func scalar(node *yaml.Node) (value string, ok bool) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	return node.Value, node.Kind == yaml.ScalarNode
}

func isNull(node *yaml.Node) bool { return node.Kind == yaml.ScalarNode && node.Tag == "!!null" }

var hostname = regexp.MustCompile(`^[a-zA-Z0-9]([-a-zA-Z0-9._]{0,252}[a-zA-Z0-9])?$`)

// How a task's log may be kept. Rotation renames every file.
const (
	maxLogFiles = 1000
	minLogSize  = 64 << 10
	maxLogSize  = 1 << 40
)

// Complete fills in what depends on the host and refuses what cannot work.
func (c *Config) Complete() (err error) {
	if c.Name == "" {
		if c.Name, err = os.Hostname(); err != nil {
			return fmt.Errorf("find the host's name: %w", err)
		}
	}
	if !hostname.MatchString(c.Name) {
		return fmt.Errorf("name %q: use letters, digits, hyphens and dots: %w", c.Name, errdefs.ErrInvalidArgument)
	}
	for _, dir := range []struct {
		flag string
		path *string
	}{{"state-dir", &c.StateDir}, {"run-dir", &c.RunDir}} {
		if *dir.path == "" {
			return fmt.Errorf("--%s is empty: use a directory: %w", dir.flag, errdefs.ErrInvalidArgument)
		}
		if *dir.path, err = filepath.Abs(*dir.path); err != nil {
			return err
		}
	}
	// A unix socket's path has at most 107 bytes; the longest is our containerd's.
	if n := len(filepath.Join(c.RunDir, "containerd", "containerd.sock.ttrpc")); n > 107 {
		return fmt.Errorf("--run-dir %s is too long by %d characters for the sockets in it: %w", c.RunDir, n-107, errdefs.ErrInvalidArgument)
	}
	if !strings.HasPrefix(c.CgroupParent, "/") {
		return fmt.Errorf("--cgroup-parent %q: use an absolute cgroup path such as /muster: %w", c.CgroupParent, errdefs.ErrInvalidArgument)
	}
	if c.GossipPort == 0 {
		return fmt.Errorf("--gossip-port 0: use 1 to 65535: %w", errdefs.ErrInvalidArgument)
	}
	if c.LogMaxFiles < 1 || c.LogMaxFiles > maxLogFiles {
		return fmt.Errorf("--task-log-max-files %d: use 1 to %d: %w", c.LogMaxFiles, maxLogFiles, errdefs.ErrInvalidArgument)
	}
	if c.LogMaxSize < minLogSize || c.LogMaxSize > maxLogSize {
		return fmt.Errorf("--task-log-max-size %d: use %d to %d bytes: %w", c.LogMaxSize, minLogSize, maxLogSize, errdefs.ErrInvalidArgument)
	}
	for _, l := range c.Labels {
		if k, _, ok := strings.Cut(l, "="); !ok || k == "" {
			return fmt.Errorf("--label %q: use NAME=VALUE: %w", l, errdefs.ErrInvalidArgument)
		}
	}
	if err := spec.ValidateNodeLabels(c.labels()); err != nil {
		return fmt.Errorf("--label: %w", err)
	}
	if _, err := c.level(); err != nil {
		return err
	}
	if c.LogFormat != "text" && c.LogFormat != "json" {
		return fmt.Errorf("--log-format %q: use text or json: %w", c.LogFormat, errdefs.ErrInvalidArgument)
	}
	return nil
}

func (c *Config) level() (slog.Level, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return 0, fmt.Errorf("--log-level %q: use debug, info, warn or error: %w", c.LogLevel, errdefs.ErrInvalidArgument)
	}
	return l, nil
}

// Logger returns the daemon's log, to standard error.
func (c *Config) Logger() *slog.Logger {
	level, _ := c.level() // checked by Complete
	opts := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, opts))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, opts))
}

// Socket is where the daemon answers the client.
func (c *Config) Socket() string { return filepath.Join(c.RunDir, "muster.sock") }

func (c *Config) labels() map[string]string {
	labels := make(map[string]string)
	for _, l := range c.Labels {
		k, v, _ := strings.Cut(l, "=")
		labels[k] = v
	}
	return labels
}
