package controlapi

import (
	"fmt"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/spec"
)

// hostPortWarnings tells when start-first cannot be had: two tasks of one
// slot would need the same port of the node at the same time.
func hostPortWarnings(s *clusterpb.ServiceSpec) (warnings []string) {
	if s.GetUpdate().GetOrder() != clusterpb.UpdateConfig_ORDER_START_FIRST {
		return nil
	}
	for _, p := range s.GetPorts() {
		if p.GetMode() == clusterpb.Port_MODE_HOST && p.GetPublished() != 0 {
			warnings = append(warnings, fmt.Sprintf(
				"port %d/%s is published with mode=host, which two tasks on a node cannot share: updates stop a task before they start the next",
				p.GetPublished(), spec.ProtocolName(p.GetProtocol())))
		}
	}
	return warnings
}
