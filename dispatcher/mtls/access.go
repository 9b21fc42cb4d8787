package mtls

import "strings"

// Access is a set of kinds of callers.
type Access uint8

// Kinds of callers.
const (
	// Anonymous callers showed no certificate.
	Anonymous Access = 1 << iota
	// Worker and Manager callers proved to be such a node of the cluster.
	Worker
	Manager
	// Local callers came through the unix socket of the daemon.
	Local
)

// Sets that are often needed.
const (
	AnyNode = Worker | Manager
	Anyone  = Anonymous | AnyNode | Local
)

// String names the callers, such as "managers and the local socket".
func (a Access) String() string {
	var names []string
	for _, k := range []struct {
		kind Access
		name string
	}{
		{Anonymous, "nodes without a certificate"},
		{Worker, "workers"},
		{Manager, "managers"},
		{Local, "the local socket"},
	} {
		if a&k.kind != 0 {
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
