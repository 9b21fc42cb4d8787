package command

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// notYet is said of what Docker has and muster has not so far: it is no typing
// error.
const notYet = "it is Docker's, and muster does not have it yet"

// gaps are such commands, without the first word, and what to do instead, ""
// where nothing stands for it.
var gaps = map[string]string{
	"attach":           `"muster service logs -f" shows what a service prints`,
	"build":            loadIt,
	"builder":          loadIt,
	"buildx":           loadIt,
	"checkpoint":       "",
	"commit":           "",
	"compose":          `"muster service create" starts one service`,
	"config":           "",
	"container":        `"muster service ps" and "muster node ps" list tasks`,
	"context":          `--host names another daemon`,
	"cp":               "",
	"diff":             "",
	"events":           "",
	"exec":             "",
	"export":           "",
	"image build":      loadIt,
	"image history":    "",
	"image import":     "",
	"image inspect":    `"muster image ls --format json" tells about images`,
	"image prune":      "what no service needs goes by itself: see docs/images.md",
	"image push":       "nodes fetch images from each other",
	"image save":       "",
	"image tag":        loadIt,
	"import":           "",
	"kill":             "",
	"login":            loginIt,
	"logout":           loginIt,
	"manifest":         "",
	"network":          "all tasks are in one network",
	"node demote":      `"muster swarm leave" on the node, then "muster swarm join" with the other token`,
	"node promote":     `"muster swarm leave" on the node, then "muster swarm join" with the other token`,
	"plugin":           "",
	"port":             `"muster service ls" shows published ports`,
	"push":             "nodes fetch images from each other",
	"rename":           "",
	"run":              `"muster service create" starts a service`,
	"save":             "",
	"search":           "",
	"secret":           "",
	"stack":            `"muster service create" starts one service`,
	"start":            `"muster service scale SERVICE=1" starts tasks`,
	"stats":            "",
	"stop":             `"muster service scale SERVICE=0" stops tasks`,
	"swarm ca":         "",
	"swarm unlock":     "",
	"swarm unlock-key": "",
	"system":           `"muster info" tells about the daemon`,
	"tag":              loadIt,
	"top":              "",
	"trust":            "",
	"unpause":          "",
	"volume":           "images' own volumes are directories of their tasks",
	"wait":             "",
}

const (
	loadIt  = `"docker build" or "docker tag", then "docker save IMAGE | muster image load"`
	loginIt = `"docker login" writes what "muster service create --with-registry-auth" and "muster image pull" read`
)

// short are Docker's short forms that are no verb here.
var short = map[string]string{"images": "muster image ls", "rmi": "muster image rm"}

// flagGaps are such flags, by the command without the first word.
var flagGaps = map[string][]string{
	"": {"config", "context", "debug", "log-level", "tls", "tlscacert", "tlscert", "tlskey", "tlsverify"},

	"service create": {
		"config", "credential-spec", "endpoint-mode", "generic-resource", "isolation", "log-driver", "log-opt",
		"max-concurrent", "mount", "network", "secret",
	},
	"service update": {
		"config-add", "config-rm", "credential-spec", "endpoint-mode", "generic-resource-add", "generic-resource-rm",
		"isolation", "log-driver", "log-opt", "max-concurrent", "mount-add", "mount-rm", "network-add", "network-rm",
		"secret-add", "secret-rm",
	},
	"node update":  {"role"},
	"swarm init":   {"autolock", "default-addr-pool-mask-length", "external-ca", "max-snapshots", "snapshot-interval"},
	"swarm update": {"autolock", "external-ca", "max-snapshots", "snapshot-interval"},
	"image load":   {"platform"},
	"image ls":     {"all", "tree"},
	"image pull":   {"all-tags", "disable-content-trust", "platform"},
	"image rm":     {"no-prune", "platform"},
}

// shortGaps are the letters of such flags.
var shortGaps = map[string]string{"": "cDl", "image ls": "a", "image pull": "a"}

// below is a command's path without the first word.
func below(path string) string {
	_, rest, _ := strings.Cut(path, " ")
	return rest
}

// gap tells what is missing under the name, and what there is instead.
func gap(cmd *cobra.Command, name string) (text string, known bool) {
	instead, known := gaps[strings.TrimSpace(below(cmd.CommandPath())+" "+name)]
	if instead == "" {
		return notYet, known
	}
	return notYet + "; " + instead, known
}

// isFlagGap reports whether err is about a flag that Docker's command has.
func isFlagGap(path string, err error) bool {
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok {
		return false
	}
	if unknown.GetSpecifiedShortnames() != "" {
		return strings.Contains(shortGaps[below(path)], unknown.GetSpecifiedName())
	}
	return slices.Contains(flagGaps[below(path)], unknown.GetSpecifiedName())
}

// Gaps returns the commands and the flags, by command, that Docker has and
// muster does not have yet, without the first word.
func Gaps() (commands []string, flags map[string][]string) {
	for c := range gaps {
		commands = append(commands, c)
	}
	slices.Sort(commands)
	return commands, flagGaps
}
