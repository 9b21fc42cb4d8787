package ingress

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
)

// Diff compares the kernel with what it should hold and lists, for people,
// what differs: nothing when all is well. It changes nothing. It returns
// ErrFailedPrecondition before the first Set.
func (p *Plane) Diff(ctx context.Context) ([]string, error) {
	w := p.want.Load()
	if w == nil {
		return nil, fmt.Errorf("the data plane has not been told what to hold: %w", errdefs.ErrFailedPrecondition)
	}
	if err := w.validate(); err != nil {
		return nil, err
	}
	release, err := alone(ctx, p)
	if err != nil {
		return nil, err
	}
	defer release()
	var lines []string
	err = p.in(func(k *kernel) error {
		f, err := p.facts(k, w)
		if err != nil {
			return err
		}
		want := plan(w, f)
		have, err := k.read(want)
		if err != nil {
			return err
		}
		lines = drift(have, want)
		attached, err := k.attachedTasks(w.Tasks)
		for _, t := range w.Tasks {
			if !attached[t.ID] && !leaving(p, t.ID) {
				lines = append(lines, fmt.Sprintf("task %s is not attached", t.ID))
			}
		}
		return err
	})
	return lines, err
}
