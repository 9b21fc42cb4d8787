package cli_test

import (
	"strings"
	"testing"

	"github.com/muster/muster/cli/clitest"
	"github.com/muster/muster/cli/command"
)

// token is one of the right form.
var token = "MSTR-1-" + strings.Repeat("a", 50) + "-" + strings.Repeat("b", 25)

// misuses are command lines, and what they are told. All of it must be found
// before any call: nobody is there to take one.
var misuses = map[string]string{
	"service create":                                       `"muster service create" needs at least 1 argument`,
	"service create --replicas -1 nginx":                   `--replicas "-1": must be a whole number`,
	"service create --replicas three nginx":                `--replicas "three": must be a whole number`,
	"service create -p 99999:80 nginx":                     `--publish "99999:80": must be`,
	"service create -p 80/sctp nginx":                      `protocol "sctp" is not supported`,
	"service create --update-delay 5 nginx":                `--update-delay "5": must be a duration`,
	"service create --limit-memory 64x nginx":              `--limit-memory "64x": must be a size`,
	"service create --constraint zone nginx":               `--constraint "zone":`,
	"service create --constraint foo==a nginx":             `--constraint "foo==a":`,
	"service create --name a_b_ nginx":                     `"a_b_"`,
	"service create -p 80:80 -p 80:81 nginx":               `80`,
	"service create Nginx:":                                `image "Nginx:": must be an image`,
	"service create --no-such-flag nginx":                  `unknown flag: --no-such-flag`,
	"service create --update-canary all nginx":             `--update-canary "all": must be a whole number`,
	"service update --publish-rm x web":                    `--publish-rm "x"`,
	"service update":                                       `needs 1 argument`,
	"service update --rollback --force web":                `--rollback takes the whole spec back`,
	"service update --plan --detach --env-add A=1 web":     `--plan changes nothing`,
	"service update --if-version 0 web":                    `--if-version "0"`,
	"service scale web":                                    `"web": must be SERVICE=REPLICAS`,
	"service scale web=-1":                                 `"web=-1": must be SERVICE=REPLICAS`,
	"service rollback --to 0 web":                          `--to "0": must be a whole number, 1 or more`,
	"service rollback --to x web":                          `--to "x": must be a whole number, 1 or more`,
	"service ls --filter foo=1":                            `one of the keys id, label, mode, name`,
	"service ls --filter mode=fast":                        `mode must be one of replicated`,
	"service ls --format {{.Foo}}":                         `no field .Foo`,
	"service ps --filter desired-state=happy web":          `no task state "happy"`,
	"service inspect --pretty --format {{.ID}} web":        `cannot be used together`,
	"service inspect --format yaml web":                    `--format "yaml": must be json, pretty or a Go template`,
	"service ls --format pretty":                           `--format "pretty": must be table`,
	"service logs --tail x web":                            `--tail "x": must be a number of lines`,
	"service logs --since yesterday web":                   `--since "yesterday": must be a time`,
	"service create --hostname a_b- nginx":                 `hostname "a_b-"`,
	"service create --restart-condition always nginx":      `must be none, on-failure or any; always is any here`,
	"service create --restart-condition never nginx":       `must be none, on-failure or any`,
	"service create --cap-add NOSUCH nginx":                `--cap-add "NOSUCH": must be a capability of Linux`,
	"completion powershell":                                `powershell`,
	"service create --sysctl kernel.panic=1 nginx":         `sysctl "kernel.panic"`,
	"service create --dns-option a:b nginx":                `dns option "a:b"`,
	"service create -l a=1 --limit-cpu 99999 nginx":        `at most 10000`,
	"service frobnicate":                                   `unknown command "muster service frobnicate"`,
	"service create --timeout -1s nginx":                   `--timeout "-1s": must be a duration`,
	"service create --health-cmd x --no-healthcheck nginx": `cannot be used together`,

	"node update --availability gone alpha":     `--availability "gone": must be active, pause or drain`,
	"node update --wait alpha":                  "--wait goes with --availability drain",
	"node update --label-add =1 alpha":          `--label-add "=1": must be KEY or KEY=VALUE`,
	"node ls -f role=boss":                      "role must be one of manager, worker",
	"node ls -f membership=maybe":               "membership must be one of accepted, pending",
	"node ls -f colour=red":                     "one of the keys id, label, membership, name, node.label, role",
	"node ls extra":                             `"muster node ls" takes no argument, got "extra"`,
	"node inspect":                              "needs at least 1 argument",
	"node inspect --pretty -f {{.ID}} self":     "cannot be used together",
	"node update --label-add a=1":               "needs 1 argument",
	"node ps --format {{.Nope}}":                "no field .Nope",
	"node update --availability drain a b":      "needs 1 argument",
	"node update --wait --timeout soon alpha":   `--timeout "soon": must be a duration`,
	"node ps -f desired-state=whatever":         `no task state "whatever"`,
	"node ls --format {{":                       `--format "{{"`,
	"node promote alpha":                        `unknown command "muster node promote"`,
	"node update --availability=drain --role=x": "unknown flag: --role",

	"swarm init --advertise-addr 192.0.2.1:99999":     `--advertise-addr "192.0.2.1:99999": must be an IP address or the name of an interface`,
	"swarm init --advertise-addr 192.0.2":             `--advertise-addr "192.0.2"`,
	"swarm init --data-path-addr eth0:1":              `--data-path-addr "eth0:1"`,
	"swarm init --data-path-port 80":                  `--data-path-port "80": must be a port from 1024 to 49151`,
	"swarm init --default-addr-pool 10.0.0.1/8":       `--default-addr-pool "10.0.0.1/8": must be a network`,
	"swarm init --cert-expiry 1m":                     `--cert-expiry "1m": must be at least 1h0m0s`,
	"swarm init --availability maybe":                 `--availability "maybe"`,
	"swarm init --autolock":                           "unknown flag: --autolock",
	"swarm init extra":                                "takes no argument",
	"swarm join 192.0.2.1":                            "--token is missing",
	"swarm join --token MSTR-1-short 192.0.2.1":       "join token",
	"swarm join --token SWMTKN-1-a-b 192.0.2.1":       "join token",
	"swarm join --token " + token + " 192.0.2.1:0":    `"192.0.2.1:0": must be HOST[:PORT]`,
	"swarm join --token " + token + " http://a:1":     `"http://a:1": must be HOST[:PORT]`,
	"swarm join --token " + token:                     "needs 1 argument",
	"swarm join-token boss":                           `"boss": must be worker or manager`,
	"swarm update":                                    "nothing to change",
	"swarm update --task-history-limit 1.5":           `--task-history-limit "1.5"`,
	"--host tcp://192.0.2.1 swarm init":               "works on the daemon of this machine only",
	"--host 192.0.2.1 swarm init":                     `--host "192.0.2.1": must be unix:///PATH or tcp://HOST[:PORT]`,
	"--host tcp://192.0.2.1:x service ls":             `--host "tcp://192.0.2.1:x"`,
	"--no-such-flag swarm init":                       "unknown flag: --no-such-flag",
	"swarm leave --force=perhaps":                     `--force "perhaps": must be true or false`,
	"swarm init --dispatcher-heartbeat 1ms":           `--dispatcher-heartbeat "1ms": must be at least 100ms`,
	"swarm init --listen-addr [::1]:65536":            `--listen-addr "[::1]:65536"`,
	"swarm init --default-addr-pool 10.0.0.0/33":      `--default-addr-pool "10.0.0.0/33"`,
	"swarm join --availability x --token t 192.0.2.1": `--availability "x"`,

	"image pull Nginx:":                  `image "Nginx:": must be an image`,
	"image load -i a b":                  `--input "a" and the argument "b" name two files`,
	"image rm":                           "needs at least 1 argument",
	"image ls a b":                       "takes at most 1 argument",
	"image ls --format {{.":              `--format "{{."`,
	"servicex":                           `did you mean "service"`,
	"--no-such-flag info":                "unknown flag: --no-such-flag",
	"run -d -p 80:80 nginx":              `unknown command "muster run"`,
	"stack deploy -c x y":                `unknown command "muster stack"`,
	"service nope -x":                    `unknown command "muster service nope"`,
	"pull nginx":                         `unknown command "muster pull", did you mean "muster image pull"?`,
	"logs -f web":                        `unknown command "muster logs", did you mean "muster service logs"?`,
	"service create --mode global nginx": `--mode "global": must be replicated; global is a kind of service of Docker's that muster does not have yet`,
	"service create --mode fast nginx":   `--mode "fast": must be replicated`,
	"images -q":                          `unknown command "muster images", did you mean "muster image ls"?`,
	"rmi nginx":                          `unknown command "muster rmi", did you mean "muster image rm"?`,
	"imag":                               `did you mean "image"?`,
	"image push nginx":                   `it is Docker's, and muster does not have it yet; nodes fetch images from each other; see "muster image --help"`,
	"service crate":                      `did you mean "create"?`,
	"image ls -aq":                       `unknown shorthand flag: 'a' in -aq: it is Docker's`,
	"image ls --a":                       `unknown flag: --a; see`,
	"-D node ls":                         `unknown shorthand flag: 'D' in -D: it is Docker's`,
	"--context x node ls":                `unknown flag: --context: it is Docker's`,
	"ps":                                 `did you mean "muster node ps" or "muster service ps"?`,
}

func TestArgumentsAreText(t *testing.T) {
	for _, args := range [][]string{
		{"service", "create", "-e", "A=\xff", "busybox"},
		{"service", "create", "--entrypoint", "A\xff", "busybox"},
		{"service", "inspect", "\xff"},
		{"node", "update", "--label-add", "a=\xff", "n1"},
		{"--host", "\xff", "info"},
	} {
		r := clitest.Nobody().Run(t, args...)
		if r.Status != command.ExitMisuse || !strings.Contains(r.Err, `\xff", is not valid UTF-8`) || strings.Count(r.Err, "\n") != 1 {
			t.Errorf("%q: exit status %d, %q", args, r.Status, r.Err)
		}
	}
}

func TestMisuse(t *testing.T) {
	for line, want := range misuses {
		t.Run(line, func(t *testing.T) {
			r := clitest.Nobody().Run(t, strings.Fields(line)...)
			if r.Status != command.ExitMisuse || r.Out != "" {
				t.Errorf("exit status %d, output %q, want %d and none", r.Status, r.Out, command.ExitMisuse)
			}
			if !strings.HasPrefix(r.Err, "muster: ") || strings.Count(r.Err, "\n") != 1 || !strings.Contains(r.Err, want) {
				t.Errorf("error = %q, want one line with %q", r.Err, want)
			}
			if strings.Contains(r.Err, "invalid argument") || strings.Contains(r.Err, "rpc error") || strings.Contains(r.Err, token) {
				t.Errorf("error = %q has noise", r.Err)
			}
		})
	}
}
