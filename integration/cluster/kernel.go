package cluster

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/muster/muster/ingress"
)

// Kernel is a node's data plane: it holds a mesh some time after it was told
// to. It outlives the daemon.
type Kernel struct {
	mu      sync.Mutex
	delay   time.Duration
	hung    bool
	told    *ingress.Want
	working bool
	holds   *ingress.Want
	conns   map[netip.Addr]int
	applied func(index uint64)
}

func newKernel() *Kernel {
	return &Kernel{delay: time.Millisecond, conns: make(map[netip.Addr]int)}
}

// set tells the kernel what to hold.
func (k *Kernel) set(w *ingress.Want) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.told = w
	k.workLocked()
}

func (k *Kernel) workLocked() {
	if k.working || k.hung || k.told == nil {
		return
	}
	k.working = true
	time.AfterFunc(k.delay, k.apply)
}

// apply makes the kernel hold what it was last told.
func (k *Kernel) apply() {
	k.mu.Lock()
	k.working = false
	if k.hung || k.told == nil {
		k.mu.Unlock()
		return
	}
	w, tell := k.told, k.applied
	again := k.holds != w
	k.holds = w
	k.mu.Unlock()
	if again && tell != nil {
		tell(w.Index)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.told != k.holds {
		k.workLocked()
	}
}

// serve makes the kernel answer to a new life of the daemon.
func (k *Kernel) serve(applied func(index uint64)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.applied = applied
}

// Silent implements node.Plane: all tasks listen as soon as they run.
func (*Kernel) Silent(context.Context, string, []uint16) ([]uint16, error) { return nil, nil }

// Connections implements node.Plane.
func (k *Kernel) Connections(_ context.Context, addrs []netip.Addr) (n int, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, a := range addrs {
		n += k.conns[a]
	}
	return n, nil
}

// Probe implements node.Plane: all ways lead where they should.
func (*Kernel) Probe(context.Context) []string { return nil }

// Diff implements node.Plane: it tells whether the kernel holds what it was
// told.
func (k *Kernel) Diff(context.Context) ([]string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.told != k.holds {
		return []string{"the kernel holds an old mesh"}, nil
	}
	return nil, nil
}

// Index implements node.Plane.
func (k *Kernel) Index() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.holds == nil {
		return 0
	}
	return k.holds.Index
}

// Repairs implements node.Plane: nothing drifts by itself.
func (*Kernel) Repairs() uint64 { return 0 }

// Remove implements node.Plane.
func (k *Kernel) Remove(context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.told, k.holds, k.applied = nil, nil, nil
	return nil
}

// SetConnections says how many connections lead to an address.
func (k *Kernel) SetConnections(a netip.Addr, n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.conns[a] = n
}

// SetDelay says how long a change takes from now on.
func (k *Kernel) SetDelay(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.delay = d
}

// Hang makes the kernel take no change any more, or go on.
func (k *Kernel) Hang(hung bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.hung = hung
	k.workLocked()
}

// LeadsTo reports whether a published port of the node leads to the address.
func (k *Kernel) LeadsTo(a netip.Addr) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.holds == nil {
		return false
	}
	for _, p := range k.holds.Ports {
		for _, e := range p.Endpoints {
			if e.Addr4.Addr() == a || e.Addr6.Addr() == a {
				return true
			}
		}
	}
	return false
}
