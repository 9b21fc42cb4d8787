// Package ingresstest is a data plane without a kernel, for tests of what
// uses one.
package ingresstest

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/ingress"
)

// Plane has the methods of [ingress.Plane]. Whatever is set is applied at
// once, and all of it is recorded.
type Plane struct {
	// Applied, if set, is called with the index of each Want.
	Applied func(index uint64)

	mu          sync.Mutex
	wants       []*ingress.Want
	attached    map[string]ingress.Task
	netns       map[string]bool
	connections map[netip.Addr]int
	fail        error
}

// New returns a plane that holds nothing.
func New() *Plane {
	return &Plane{
		attached: make(map[string]ingress.Task), netns: make(map[string]bool), connections: make(map[netip.Addr]int),
	}
}

// Run waits until ctx is done.
func (p *Plane) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Set records the want and reports it applied.
func (p *Plane) Set(w *ingress.Want) {
	p.mu.Lock()
	p.wants = append(p.wants, w)
	p.mu.Unlock()
	if p.Applied != nil {
		p.Applied(w.Index)
	}
}

// Attach records the task, or returns what Fail was given.
func (p *Plane) Attach(_ context.Context, t ingress.Task) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		return p.fail
	}
	if !p.netns[t.ID] {
		return fmt.Errorf("attach task %s: its network namespace: %w", t.ID, errdefs.ErrNotFound)
	}
	p.attached[t.ID] = t
	return nil
}

// Detach forgets the task.
func (p *Plane) Detach(_ context.Context, taskID string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.attached, taskID)
	return nil
}

// CreateNetns records that the task has a network namespace and makes up a path.
func (p *Plane) CreateNetns(taskID string) (path string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.netns[taskID] = true
	return "/run/netns/" + taskID, nil
}

// DeleteNetns forgets that the task has one.
func (p *Plane) DeleteNetns(taskID string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.netns, taskID)
	return nil
}

// Silent returns none: all tasks listen.
func (*Plane) Silent(context.Context, string, []uint16) ([]uint16, error) { return nil, nil }

// Connections returns what SetConnections was given for the addresses, or zero.
func (p *Plane) Connections(_ context.Context, addrs []netip.Addr) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range addrs {
		n += p.connections[a]
	}
	return n, nil
}

// Diff finds no drift.
func (p *Plane) Diff(context.Context) ([]string, error) { return nil, nil }

// Index is that of the last Want, 0 before.
func (p *Plane) Index() uint64 {
	if w := p.Want(); w != nil {
		return w.Index
	}
	return 0
}

// Repairs is zero: nothing drifts.
func (p *Plane) Repairs() uint64 { return 0 }

// Remove forgets the attachments.
func (p *Plane) Remove(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.attached)
	return nil
}

// Want returns what was last set, or nil.
func (p *Plane) Want() *ingress.Want {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.wants) == 0 {
		return nil
	}
	return p.wants[len(p.wants)-1]
}

// Wants returns all that was set, in order.
func (p *Plane) Wants() []*ingress.Want {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.wants)
}

// Attached returns the attached tasks by id.
func (p *Plane) Attached() map[string]ingress.Task {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.attached)
}

// Netns lists the tasks that have a network namespace, in order of their ids.
func (p *Plane) Netns() (taskIDs []string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Sorted(maps.Keys(p.netns)), nil
}

// SetConnections says how many connections lead to an address.
func (p *Plane) SetConnections(a netip.Addr, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.connections[a] = n
}

// Fail makes Attach return err from now on, or work again if err is nil.
func (p *Plane) Fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fail = err
}
