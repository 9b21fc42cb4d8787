package edit_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/proto"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/service/edit"
	"github.com/muster/muster/cli/service/text"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/docker"
)

// flagsOf parses a command line with the flags of create or update.
func flagsOf(t *testing.T, update bool, args ...string) (*edit.Edits, error) {
	t.Helper()
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	fs.Usage = func() {}
	lookup := func(name string) (string, bool) { return "from-shell", name == "SHELL_VAR" }
	var e *edit.Edits
	if update {
		e = edit.ForUpdate(fs, lookup)
	} else {
		e = edit.ForCreate(fs, lookup)
	}
	if err := fs.Parse(args); err != nil {
		return nil, command.FlagError("test", err)
	}
	return e, e.Check()
}

func base() *clusterpb.ServiceSpec {
	return &clusterpb.ServiceSpec{
		Name: "web",
		Task: &clusterpb.TaskSpec{Containers: []*clusterpb.ContainerSpec{{Image: "nginx"}}},
		Mode: &clusterpb.ServiceSpec_Replicated{Replicated: &clusterpb.ReplicatedMode{Replicas: 1}},
	}
}

// changes lists what the arguments change, one "Field: from -> to" a line.
func changes(from, to *clusterpb.ServiceSpec) []string {
	var list []string
	for _, c := range text.Diff(docker.ServiceSpecOf(from, nil, 0), docker.ServiceSpecOf(to, nil, 0)) {
		list = append(list, fmt.Sprintf("%s: %s -> %s", strings.TrimPrefix(c.Field, "TaskTemplate."), c.From, c.To))
	}
	return list
}

func TestCreate(t *testing.T) {
	env := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(env, []byte("A=file\nB=file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		args string
		want []string
	}{
		"nothing":  {"", nil},
		"mode":     {"--mode replicated", nil},
		"replicas": {"--replicas 3", []string{"Mode.Replicated.Replicas: 1 -> 3"}},
		"publish": {"-p 8111:80 --publish target=53,protocol=udp,mode=host", []string{
			"EndpointSpec.Ports:  -> [*:8111->80/tcp 53/udp (host)]",
		}},
		"publish twice": {"-p 8111:80 -p 8111:80", []string{"EndpointSpec.Ports:  -> [*:8111->80/tcp]"}},
		"labels": {"-l a=1 -l b --container-label c=3", []string{
			`Labels.a:  -> "1"`, `Labels.b:  -> ""`, `ContainerSpec.Labels.c:  -> "3"`,
		}},
		"env": {"-e A=1 -e SHELL_VAR -e UNSET -e A=2", []string{`ContainerSpec.Env:  -> ["A=2" "SHELL_VAR=from-shell"]`}},
		"env wins over file": {"-e A=flag --env-file " + env, []string{
			`ContainerSpec.Env:  -> ["A=flag" "B=file"]`,
		}},
		"process": {"--init --entrypoint sh -w /srv -u 1000:1000 --group video --hostname h -t --read-only --stop-signal QUIT --stop-grace-period 30s --drain-timeout 0s", []string{
			`ContainerSpec.Command:  -> ["sh"]`, "ContainerSpec.Dir:  -> /srv", "ContainerSpec.DrainTimeout: 10s -> 0s",
			`ContainerSpec.Groups:  -> ["video"]`, "ContainerSpec.Hostname:  -> h", "ContainerSpec.Init:  -> true", "ContainerSpec.ReadOnly:  -> true",
			"ContainerSpec.StopGracePeriod: 10s -> 30s", "ContainerSpec.StopSignal:  -> SIGQUIT", "ContainerSpec.TTY:  -> true",
			"ContainerSpec.User:  -> 1000:1000",
		}},
		"no init": {"--init=false", []string{"ContainerSpec.Init:  -> false"}},
		"security": {"--cap-add net_admin --cap-drop ALL --sysctl net.core.somaxconn=1024 --ulimit nofile=10:20 --oom-score-adj -5", []string{
			`ContainerSpec.CapabilityAdd:  -> ["CAP_NET_ADMIN"]`, `ContainerSpec.CapabilityDrop:  -> ["ALL"]`,
			"ContainerSpec.OomScoreAdj:  -> -5", `ContainerSpec.Sysctls.net.core.somaxconn:  -> "1024"`,
			"ContainerSpec.Ulimits:  -> [nofile=10:20]",
		}},
		"dropped, then added": {"--cap-drop CHOWN --cap-add CHOWN", []string{`ContainerSpec.CapabilityAdd:  -> ["CAP_CHOWN"]`}},
		"resolver": {"--dns 192.0.2.1 --dns-search example.com --dns-option ndots:2 --host db:192.0.2.9", []string{
			`ContainerSpec.DNSConfig.Nameservers:  -> ["192.0.2.1"]`, `ContainerSpec.DNSConfig.Options:  -> ["ndots:2"]`,
			`ContainerSpec.DNSConfig.Search:  -> ["example.com"]`, `ContainerSpec.Hosts:  -> ["192.0.2.9 db"]`,
		}},
		"resources": {"--limit-cpu 1.5 --limit-memory 64m --limit-pids 100 --reserve-cpu 0.5 --reserve-memory 32m", []string{
			"Resources.Limits.MemoryBytes:  -> 67108864", "Resources.Limits.NanoCPUs:  -> 1500000000", "Resources.Limits.Pids:  -> 100",
			"Resources.Reservations.MemoryBytes:  -> 33554432", "Resources.Reservations.NanoCPUs:  -> 500000000",
		}},
		"health": {"--health-cmd true --health-interval 2s --health-timeout 1s --health-retries 5 --health-start-period 9s --health-start-interval 1s", []string{
			"ContainerSpec.Healthcheck.Interval:  -> 2s", "ContainerSpec.Healthcheck.Retries:  -> 5",
			"ContainerSpec.Healthcheck.StartInterval:  -> 1s", "ContainerSpec.Healthcheck.StartPeriod:  -> 9s",
			`ContainerSpec.Healthcheck.Test:  -> ["CMD-SHELL" "true"]`, "ContainerSpec.Healthcheck.Timeout:  -> 1s",
		}},
		"http":      {"--health-http 80/up", []string{"ContainerSpec.Healthcheck.HTTP:  -> 80/up"}},
		"tcp":       {"--health-tcp 80", []string{"ContainerSpec.Healthcheck.TCP:  -> 80"}},
		"no health": {"--no-healthcheck", []string{`ContainerSpec.Healthcheck.Test:  -> ["NONE"]`}},
		"restart": {"--restart-condition on-failure --restart-delay 1s --restart-max-delay 1m --restart-max-attempts 3 --restart-window 1h", []string{
			"RestartPolicy.Condition: any -> on-failure", "RestartPolicy.Delay: 5s -> 1s", "RestartPolicy.MaxAttempts: 0 -> 3",
			"RestartPolicy.MaxDelay: 5m0s -> 1m0s", "RestartPolicy.Window:  -> 1h0m0s",
		}},
		"placement": {"--constraint node.role==worker --placement-pref spread=node.labels.zone --replicas-max-per-node 2", []string{
			`Placement.Constraints:  -> ["node.role==worker"]`, "Placement.MaxReplicas:  -> 2",
			"Placement.Preferences:  -> [spread=node.labels.zone]",
		}},
		"update": {"--update-parallelism 0 --update-delay 1s --update-monitor 0s --update-max-failure-ratio 0.5 --update-order start-first --update-failure-action rollback --update-progress-deadline 1m --update-canary 1 --update-promote auto", []string{
			"UpdateConfig.Canary:  -> 1", "UpdateConfig.Delay:  -> 1s", "UpdateConfig.FailureAction: pause -> rollback",
			"UpdateConfig.MaxFailureRatio:  -> 0.5", "UpdateConfig.Monitor: 5s -> 0s", "UpdateConfig.Order: stop-first -> start-first",
			"UpdateConfig.Parallelism: 1 -> 0", "UpdateConfig.ProgressDeadline: 10m0s -> 1m0s", "UpdateConfig.Promote:  -> auto",
		}},
		"rollback": {"--rollback-parallelism 2 --rollback-failure-action continue", []string{
			"RollbackConfig.FailureAction: pause -> continue", "RollbackConfig.Parallelism: 1 -> 2",
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			e, err := flagsOf(t, false, strings.Fields(tt.args)...)
			if err != nil {
				t.Fatal(err)
			}
			got := base()
			e.Apply(got)
			if diff := cmp.Diff(tt.want, changes(base(), got)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.args, diff)
			}
		})
	}
}

// full is a spec with something in every list.
func full(t *testing.T) *clusterpb.ServiceSpec {
	t.Helper()
	e, err := flagsOf(t, false, strings.Fields(`-p 80:80 -p 80:80/udp -l a=1 --container-label c=1 -e A=1 -e B=2 --group g
		--sysctl k=1 --ulimit nofile=1:1 --dns 192.0.2.1 --dns-search s --dns-option o --host db:192.0.2.1 --host db:192.0.2.2
		--constraint node.role==worker --placement-pref spread=node.labels.zone --health-cmd true --health-interval 9s`)...)
	if err != nil {
		t.Fatal(err)
	}
	s := base()
	e.Apply(s)
	return s
}

func TestUpdate(t *testing.T) {
	tests := map[string]struct {
		args string
		want []string
	}{
		"image":             {"--image nginx:1.29", []string{"ContainerSpec.Image: nginx -> nginx:1.29"}},
		"args":              {"--args a", []string{`ContainerSpec.Args:  -> ["a"]`}},
		"replace env":       {"--env-add A=9", []string{`ContainerSpec.Env: ["A=1" "B=2"] -> ["A=9" "B=2"]`}},
		"remove env":        {"--env-rm A", []string{`ContainerSpec.Env: ["A=1" "B=2"] -> ["B=2"]`}},
		"add wins over rm":  {"--env-add A=9 --env-rm A", []string{`ContainerSpec.Env: ["A=1" "B=2"] -> ["B=2" "A=9"]`}},
		"remove label":      {"--label-rm a --container-label-rm c", []string{`Labels.a: "1" -> `, `ContainerSpec.Labels.c: "1" -> `}},
		"remove port":       {"--publish-rm 80", []string{"EndpointSpec.Ports: [*:80->80/tcp *:80->80/udp] -> "}},
		"remove udp port":   {"--publish-rm 80/udp", []string{"EndpointSpec.Ports: [*:80->80/tcp *:80->80/udp] -> [*:80->80/tcp]"}},
		"move port":         {"--publish-rm 80/udp --publish-add 81:80/udp", []string{"EndpointSpec.Ports: [*:80->80/tcp *:80->80/udp] -> [*:80->80/tcp *:81->80/udp]"}},
		"remove host":       {"--host-rm db:192.0.2.1", []string{`ContainerSpec.Hosts: ["192.0.2.1 db" "192.0.2.2 db"] -> ["192.0.2.2 db"]`}},
		"remove all hosts":  {"--host-rm db", []string{`ContainerSpec.Hosts: ["192.0.2.1 db" "192.0.2.2 db"] -> `}},
		"remove constraint": {"--constraint-rm node.role==worker", []string{`Placement.Constraints: ["node.role==worker"] -> `}},
		"remove pref":       {"--placement-pref-rm spread=node.labels.zone", []string{"Placement.Preferences: [spread=node.labels.zone] -> "}},
		"remove the rest": {"--group-rm g --sysctl-rm k --ulimit-rm nofile --dns-rm 192.0.2.1 --dns-search-rm s --dns-option-rm o", []string{
			`ContainerSpec.DNSConfig.Nameservers: ["192.0.2.1"] -> `, `ContainerSpec.DNSConfig.Options: ["o"] -> `,
			`ContainerSpec.DNSConfig.Search: ["s"] -> `, `ContainerSpec.Groups: ["g"] -> `, `ContainerSpec.Sysctls.k: "1" -> `,
			"ContainerSpec.Ulimits: [nofile=1:1] -> ",
		}},
		"another check": {"--health-tcp 80", []string{`ContainerSpec.Healthcheck.TCP:  -> 80`, `ContainerSpec.Healthcheck.Test: ["CMD-SHELL" "true"] -> `}},
		"no check": {"--no-healthcheck", []string{
			"ContainerSpec.Healthcheck.Interval: 9s -> ", `ContainerSpec.Healthcheck.Test: ["CMD-SHELL" "true"] -> ["NONE"]`,
		}},
		"interval's default": {"--health-interval 0s", []string{"ContainerSpec.Healthcheck.Interval: 9s -> "}},
		"what is not there":  {"--label-rm nope --env-rm nope --publish-rm 9", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			e, err := flagsOf(t, true, strings.Fields(tt.args)...)
			if err != nil {
				t.Fatal(err)
			}
			got := full(t)
			e.Apply(got)
			if diff := cmp.Diff(tt.want, changes(full(t), got)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.args, diff)
			}
		})
	}
}

// Removing what is not there must not count as a change: it would replace
// every task.
func TestRemovalOfNothingIsNoChange(t *testing.T) {
	e, err := flagsOf(t, true, strings.Fields("--dns-rm 192.0.2.1 --constraint-rm node.id==a --limit-memory 0 --health-interval 0s --host-rm a --env-rm A")...)
	if err != nil {
		t.Fatal(err)
	}
	got := base()
	e.Apply(got)
	if !proto.Equal(base(), got) {
		t.Errorf("spec = %v, want %v", got, base())
	}
}

func TestMisuse(t *testing.T) {
	tests := map[string]struct {
		update bool
		args   []string
		want   string
	}{
		"replicas":           {false, []string{"--replicas", "-1"}, `--replicas "-1": must be a whole number from 0 to 4294967295`},
		"port, short flag":   {false, []string{"-p", "x"}, `--publish "x": must be [PUBLISHED:]TARGET`},
		"env without key":    {false, []string{"-e", "=1"}, `--env "=1": must be KEY=VALUE`},
		"order":              {false, []string{"--update-order", "last"}, `--update-order "last": must be stop-first or start-first`},
		"rollback's action":  {false, []string{"--rollback-failure-action", "rollback"}, `must be pause or continue`},
		"health interval":    {false, []string{"--health-interval", "1us"}, "must be at least 1ms"},
		"bool":               {false, []string{"--read-only=maybe"}, `--read-only "maybe": must be true or false`},
		"no check, a check":  {false, []string{"--no-healthcheck", "--health-cmd", "x"}, "--no-healthcheck and --health-cmd cannot be used together"},
		"two checks":         {false, []string{"--health-tcp", "1", "--health-http", "1"}, "cannot be used together"},
		"flag of update":     {false, []string{"--env-add", "A=1"}, "unknown flag: --env-add"},
		"flag of create":     {true, []string{"--env", "A=1"}, "unknown flag: --env"},
		"mode is not there":  {false, []string{"--mode", "global"}, `--mode "global": must be replicated`},
		"no value":           {false, []string{"--replicas"}, "flag needs an argument: --replicas"},
		"env file not there": {false, []string{"--env-file", "/nope"}, `--env-file "/nope": open /nope: no such file or directory`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := flagsOf(t, tt.update, tt.args...)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want %q", err, tt.want)
			}
			if got := command.ExitStatus(err); got != command.ExitMisuse {
				t.Errorf("exit status = %d, want %d", got, command.ExitMisuse)
			}
		})
	}
}
