package integration

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// owned are names by which a rule was judged in many places once. Who has such
// a question asks the owner; only the packages named beside it, each for its
// reason, use the name itself.
var owned = []struct {
	name, owner string
	also        map[string]string
}{
	{"UpdateStatus_STATE_", "proto/rollout", map[string]string{
		"proto/docker": "has Docker's word for each",
	}},
	{`"github.com/distribution/reference"`, "proto/image", nil},
	{`"google.golang.org/grpc/metadata"`, "proto/call", nil},
	{".ListNodes(", "cli/command", nil}, // all pages of it; so of the next three
	{".ListServices(", "cli/command", nil},
	{".ListTasks(", "cli/command", nil},
	{".ListImages(", "cli/command", nil},
	{"NodeStatus_STATE_", "proto/lifecycle", map[string]string{
		"dispatcher":       "writes down what is seen of nodes",
		"dispatcher/lease": "knows which nodes have a lease without a session",
	}},
	{".GetTaggedAt()", "proto/image", map[string]string{
		"manager/resolver": "picks the one that was named last",
	}},
	{"RestartPolicy_CONDITION_", "manager/orchestrator/restart", map[string]string{
		"proto/spec":       "says which of them is meant by none",
		"cli/service/edit": "makes restart policies",
	}},
	{".GetStopGracePeriod()", "proto/spec", nil},
	{".GetDrainTimeout()", "proto/spec", nil},
	{"Port_PROTOCOL_", "proto/port", map[string]string{
		"proto/spec":       "refuses a port without one",
		"cli/flags":        "makes ports",
		"cli/service/edit": "removes ports by a flag that may leave it open",
	}},
	{"Port_MODE_", "proto/port", map[string]string{
		"proto/spec": "refuses a port without one",
		"cli/flags":  "makes ports",
	}},
}

// TestRulesHaveOneOwner: what only tests use may use any name.
func TestRulesHaveOneOwner(t *testing.T) {
	used := make(map[string]bool)
	for _, pkg := range load(t) {
		if pkg.ForTests() {
			continue
		}
		for _, f := range pkg.Written(false) {
			text, err := os.ReadFile("../" + f.Path)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range owned {
				if !strings.Contains(string(text), o.name) {
					continue
				}
				used[o.name+" "+pkg.Dir] = true
				if _, also := o.also[pkg.Dir]; pkg.Dir != o.owner && !also {
					t.Errorf("%s uses %s: ask %s, or give it the question that is missing", f.Path, o.name, o.owner)
				}
			}
		}
	}
	for _, o := range owned {
		places := []string{o.owner}
		for dir := range o.also {
			places = append(places, dir)
		}
		slices.Sort(places)
		for _, dir := range places {
			if !used[o.name+" "+dir] {
				t.Errorf("%s does not use %s: take it out of 'owned'", dir, o.name)
			}
		}
	}
}
