package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/muster/muster/ingress"
	"github.com/muster/muster/worker/executor/containerd"
	"github.com/muster/muster/worker/trouble"
)

// obstaclePeriod is how often the rules and routes of others are read, and tasks
// looked for that containerd lost.
const obstaclePeriod = time.Minute

// checks are what tells whether the node can do its work.
func (r *runtime) checks(plane *ingress.Plane, x *containerd.Executor) []trouble.Check {
	near := ingress.Neighbourhood{Plane: plane}
	return []trouble.Check{
		{Name: "containerd", Look: r.answers},
		{Name: "state directory", Look: r.writes},
		{Name: "run directory", Look: r.sock.trouble},
		{Name: "data plane", Look: func(context.Context) error { return plane.Trouble() }},
		{Name: "network", Look: near.Overlapping, Period: obstaclePeriod},
		{Name: "route", Look: near.Covering, Period: obstaclePeriod, Warning: true},
		{Name: "published port", Look: plane.Shadowed, Warning: true},
		{Name: "tasks", Look: func(ctx context.Context) error { return containerd.Lost(ctx, x, obstaclePeriod) }, Period: obstaclePeriod, Warning: true},
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

// writes finds out whether the disk of the node's state takes anything.
func (r *runtime) writes(context.Context) (err error) {
	f, err := os.CreateTemp(r.cfg.StateDir, ".probe-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	if _, err := f.WriteString("muster"); err != nil {
		return err
	}
	return f.Sync()
}
