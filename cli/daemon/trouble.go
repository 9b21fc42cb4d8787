package daemon

import (
	"context"
	"fmt"
	"time"

	"github.com/muster/muster/ingress"
	"github.com/muster/muster/worker/trouble"
)

// obstaclePeriod is how often the rules of others are read.
const obstaclePeriod = time.Minute

// checks are what tells whether the node can do its work.
func (r *runtime) checks(plane *ingress.Plane) []trouble.Check {
	return []trouble.Check{
		{Name: "containerd", Look: r.answers},
		{Name: "data plane", Look: func(context.Context) error { return plane.Trouble() }},
		{Name: "published port", Look: plane.Shadowed, Warning: true},
		{Name: "firewall", Look: plane.Obstructed, Period: obstaclePeriod, Warning: true},
	}
}

// answers asks containerd for a sign of life.
func (r *runtime) answers(ctx context.Context) error {
	if _, err := r.client.Version(ctx); err != nil {
		return fmt.Errorf("does not answer at %s: %w", r.address, err)
	}
	return nil
}
