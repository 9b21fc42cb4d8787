package flags

import clusterpb "github.com/muster/muster/proto/cluster/v1"

// Availability is whether a node takes tasks: active, pause (no new ones) or
// drain (none at all).
var Availability = OneOf(Availabilities(), map[string]clusterpb.NodeSpec_Availability{
	"active": clusterpb.NodeSpec_AVAILABILITY_ACTIVE,
	"pause":  clusterpb.NodeSpec_AVAILABILITY_PAUSE,
	"drain":  clusterpb.NodeSpec_AVAILABILITY_DRAIN,
})

// Availabilities are the words of Availability.
func Availabilities() []string { return []string{"active", "pause", "drain"} }
