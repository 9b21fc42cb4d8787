package worker

import (
	"context"
	"fmt"

	"google.golang.org/grpc"

	"github.com/muster/muster/dispatcher/agent"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/id"
)

// handler is the worker as its session with a manager sees it.
type handler Worker

var _ agent.Handler = (*handler)(nil)

// Register implements agent.Handler.
func (h *handler) Register(ctx context.Context) (*dispatchpb.Register, error) {
	desc, err := h.describer.atRegistration(ctx)
	if err != nil {
		return nil, err
	}
	return &dispatchpb.Register{Description: desc, Images: h.images.atRegistration(ctx), Instance: h.instance}, nil
}

// newInstance names a run of the daemon.
func newInstance() string { return id.New() }

// Connected implements agent.Handler.
func (h *handler) Connected(ctx context.Context, conn grpc.ClientConnInterface) {
	h.mu.Lock()
	h.acked, h.applied = 0, 0
	h.mu.Unlock()
	h.reports.Resend()
	h.logs.connected(ctx, conn)
}

// Due implements agent.Handler.
func (h *handler) Due() <-chan struct{} { return h.due }

// Outgoing implements agent.Handler.
func (h *handler) Outgoing() (msgs []*dispatchpb.SessionRequest) {
	if index, news := h.acknowledged(); news {
		msgs = append(msgs, &dispatchpb.SessionRequest{Kind: &dispatchpb.SessionRequest_Acknowledge{
			Acknowledge: &dispatchpb.Acknowledge{Index: index},
		}})
	}
	if b := h.reports.Batch(); b != nil {
		msgs = append(msgs, &dispatchpb.SessionRequest{Kind: &dispatchpb.SessionRequest_Statuses{Statuses: b}})
	}
	if images := h.images.take(); images != nil {
		msgs = append(msgs, &dispatchpb.SessionRequest{Kind: &dispatchpb.SessionRequest_Images{Images: images}})
	}
	if d := h.describer.take(); d != nil {
		msgs = append(msgs, &dispatchpb.SessionRequest{Kind: &dispatchpb.SessionRequest_Description{Description: d}})
	}
	return msgs
}

// acknowledged returns the index to acknowledge, and whether that is news to
// the manager.
func (h *handler) acknowledged() (index uint64, news bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	news = h.applied > h.acked
	h.acked = h.applied
	return h.applied, news
}

// Assignments implements agent.Handler.
func (h *handler) Assignments(a *dispatchpb.Assignments) error {
	next, gone, err := (*Worker)(h).told().apply(a)
	if err != nil {
		return err
	}
	// On disk before anything is done about it: a container never exists
	// without the node knowing why. Nor is it held before: what was taken away
	// would not be found gone when it is heard again.
	if err := h.cfg.State.Apply(a); err != nil {
		return fmt.Errorf("remember assignments: %w", err)
	}
	h.mu.Lock()
	h.held = next
	h.mu.Unlock()
	h.mesh.lowWater.raise(a.GetLowWaterMark())
	h.tasks.steer(a.GetTasks(), gone, next.ports, next.own(h.cfg.Own))
	if a.GetFull() {
		h.restate(a.GetTasks())
		wake(h.sweeper.due)
	}
	(*Worker)(h).passOn(next)
	h.images.order(a.GetImageOrders())
	wake(h.mesh.due)
	return nil
}

// restate queues what this node knows of its tasks and managers do not: what
// happened while none could be reached.
func (h *handler) restate(assigned []*dispatchpb.TaskAssignment) {
	now := h.tasks.snapshots()
	for _, a := range assigned {
		t := a.GetTask()
		s, ok := now[t.GetId()]
		if ok && s.Status.GetState() > t.GetStatus().GetState() {
			h.reports.Put(t.GetId(), s.Status)
		}
	}
}

// Recorded implements agent.Handler.
func (h *handler) Recorded(sequence uint64) { h.reports.Recorded(sequence) }

// Logs implements agent.Handler.
func (h *handler) Logs(sub *dispatchpb.LogSubscription) { h.logs.take(sub) }
