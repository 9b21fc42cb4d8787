package worker

import (
	"context"
	"net/netip"
	"time"

	"github.com/muster/muster/ingress"
)

const (
	// maxPause bounds how long changes of the mesh are gathered under load.
	maxPause = 20 * time.Millisecond
	// upTimeout bounds how long a task waits for the node's network.
	upTimeout = 60 * time.Second
)

// mesh is the worker's dealings with the data plane: it says what the kernel
// should hold, and tells tasks what they need to know of the network. It
// implements task.Mesh.
type mesh struct {
	plane    Plane
	due      chan struct{} // what the kernel should hold may have changed
	up       latch         // tasks can be attached
	lowWater *lowWaterMark
}

func newMesh(plane Plane) *mesh {
	return &mesh{plane: plane, due: make(chan struct{}, 1), up: newLatch(), lowWater: newLowWaterMark()}
}

// run hands the data plane what the kernel should hold, whenever that may have
// changed. It pauses for as long as the last round took, at most 20 ms, so that
// many changes at a time cost no more than half a core. want returns nil for as
// long as the kernel is to stay as it is.
func (m *mesh) run(ctx context.Context, want func() *ingress.Want) error {
	wake(m.due)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-m.due:
		}
		start := time.Now()
		if w := want(); w != nil {
			m.plane.Set(w)
		}
		if d := min(time.Since(start), maxPause); d > 0 {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(d):
			}
		}
	}
}

// Up implements task.Mesh.
func (m *mesh) Up(ctx context.Context) error {
	timeout := time.NewTimer(upTimeout)
	defer timeout.Stop()
	select {
	case <-m.up.closed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timeout.C:
		// Attaching will fail and say why.
		return nil
	}
}

// Left implements task.Mesh.
func (m *mesh) Left(ctx context.Context, index uint64) error { return m.lowWater.wait(ctx, index) }

// Silent implements task.Mesh.
func (m *mesh) Silent(ctx context.Context, taskID string, ports []uint16) ([]uint16, error) {
	return m.plane.Silent(ctx, taskID, ports)
}

// Connections implements task.Mesh.
func (m *mesh) Connections(ctx context.Context, addrs []netip.Addr) (int, error) {
	return m.plane.Connections(ctx, addrs)
}
