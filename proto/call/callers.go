package call

import (
	"strings"

	callpb "github.com/muster/muster/proto/call/v1"
)

// Callers is a set of kinds of principals.
type Callers uint8

// Kinds of principals.
const (
	// Anonymous callers showed no certificate.
	Anonymous Callers = 1 << iota
	// Worker and Manager callers proved to be such a node of the cluster.
	Worker
	Manager
	// Local callers came through the unix socket of a node's daemon, which only
	// root can open.
	Local
)

// Sets that are often needed.
const (
	AnyNode = Worker | Manager
	Anyone  = Anonymous | AnyNode | Local
)

// kinds are the callers, each with its word in proto files and its name.
var kinds = []struct { //nolint:gochecknoglobals // a table that nobody changes
	set  Callers
	word callpb.Caller
	name string
}{
	{Anonymous, callpb.Caller_CALLER_ANONYMOUS, "nodes without a certificate"},
	{Worker, callpb.Caller_CALLER_WORKER, "workers"},
	{Manager, callpb.Caller_CALLER_MANAGER, "managers"},
	{Local, callpb.Caller_CALLER_LOCAL, "the local socket"},
}

// setOf returns the set of one kind; empty for words of a newer program.
func setOf(word callpb.Caller) Callers {
	for _, k := range kinds {
		if k.word == word {
			return k.set
		}
	}
	return 0
}

// wordOf returns the word of a single kind.
func wordOf(c Callers) callpb.Caller {
	for _, k := range kinds {
		if k.set == c {
			return k.word
		}
	}
	return callpb.Caller_CALLER_UNSPECIFIED
}

// String names the callers, such as "managers and the local socket".
func (c Callers) String() string {
	var names []string
	for _, k := range kinds {
		if c&k.set != 0 {
			names = append(names, k.name)
		}
	}
	switch len(names) {
	case 0:
		return "nobody"
	case 1:
		return names[0]
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last]
}
