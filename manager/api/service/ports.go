package service

import (
	"fmt"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/port"
)

// hostPortWarnings tells what cannot be had with a port of the nodes
// themselves: two tasks of one slot would need it at the same time.
func hostPortWarnings(s *clusterpb.ServiceSpec) (warnings []string) {
	warn := func(k port.Key, consequence string) {
		warnings = append(warnings, fmt.Sprintf("port %s is published with mode=host, which two tasks on a node cannot share: %s", k, consequence))
	}
	startFirst := s.GetUpdate().GetOrder() == clusterpb.UpdateConfig_ORDER_START_FIRST ||
		s.GetRollback().GetOrder() == clusterpb.UpdateConfig_ORDER_START_FIRST
	for _, p := range s.GetPorts() {
		if !port.IsFixedOnHost(p) {
			continue
		}
		if startFirst {
			warn(port.Of(p), "updates and rollbacks stop a task before they start the next")
		}
		if s.GetUpdate().GetCanary() > 0 {
			warn(port.Of(p), "canaries need nodes of their own, and answer there before they are promoted")
		}
	}
	return warnings
}
