package task

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/port"
)

const (
	// listenTimeout bounds how long a task without a health check may take to
	// listen on its published ports before it counts as running.
	listenTimeout = 10 * time.Second
	// listenPoll is how often is looked at first; then ever less often, up to listenPause.
	listenPoll  = 10 * time.Millisecond
	listenPause = 250 * time.Millisecond
)

// awaitListeners waits until the task listens on its published TCP ports: who
// is sent to it before that is refused. It returns what to say of a task that
// does not, or "".
func awaitListeners(ctx context.Context, mesh Mesh, t *clusterpb.Task) string {
	var ports []uint16
	for _, p := range t.GetPorts() {
		if key := port.Of(p); key == port.TCP(key.Number) {
			ports = append(ports, uint16(p.GetTarget()))
		}
	}
	if len(ports) == 0 {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, listenTimeout)
	defer cancel()
	for pause := listenPoll; ; pause = min(2*pause, listenPause) {
		silent, err := mesh.Silent(ctx, t.GetId(), ports)
		if err == nil && len(silent) == 0 {
			return ""
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			if err != nil {
				return fmt.Sprintf("whether it listens is not known: %v", err)
			}
			return fmt.Sprintf("nothing in it listens on %s after %s; it gets connections all the same", list(silent), listenTimeout)
		}
	}
}

// list writes ports as people do: "80/tcp, 443/tcp".
func list(ports []uint16) string {
	var names []string
	for _, p := range slices.Sorted(slices.Values(ports)) {
		names = append(names, port.TCP(uint32(p)).String())
	}
	return strings.Join(slices.Compact(names), ", ")
}
