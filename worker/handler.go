package worker

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
)

// imagesTimeout bounds how long the runtime is asked for its images.
const imagesTimeout = 3 * time.Second

// handler is what the worker's session talks for.
type handler Worker

// Register implements agent.Handler.
func (h *handler) Register(ctx context.Context) (*dispatchpb.Register, error) {
	desc, err := h.cfg.Describe(ctx)
	if err != nil {
		return nil, err
	}
	images, err := (*Worker)(h).images(ctx)
	if err != nil {
		// A runtime that restarts must not keep the node from the cluster: the
		// list follows once it is known.
		h.cfg.Log.WarnContext(ctx, "register without images", "err", err)
		h.mu.Lock()
		h.imagesDue = true
		h.mu.Unlock()
	}
	return &dispatchpb.Register{Description: desc, Images: images}, nil
}

// Connected implements agent.Handler.
func (h *handler) Connected(ctx context.Context, conn grpc.ClientConnInterface) {
	h.mu.Lock()
	h.acked, h.applied = 0, 0
	h.mu.Unlock()
	h.reports.Resend()
	h.setConnected()
	h.logs.connected(ctx, conn)
}

// Due implements agent.Handler.
func (h *handler) Due() <-chan struct{} { return h.due }

// Outgoing implements agent.Handler.
func (h *handler) Outgoing() (msgs []*dispatchpb.SessionRequest) {
	h.mu.Lock()
	index := h.applied
	ack := index > h.acked
	h.acked = index
	images := h.imageNews
	h.imageNews = nil
	h.mu.Unlock()
	if ack {
		msgs = append(msgs, &dispatchpb.SessionRequest{Kind: &dispatchpb.SessionRequest_Acknowledge{
			Acknowledge: &dispatchpb.Acknowledge{Index: index},
		}})
	}
	if b := h.reports.Batch(); b != nil {
		msgs = append(msgs, &dispatchpb.SessionRequest{Kind: &dispatchpb.SessionRequest_Statuses{Statuses: b}})
	}
	if images != nil {
		msgs = append(msgs, &dispatchpb.SessionRequest{Kind: &dispatchpb.SessionRequest_Images{Images: images}})
	}
	return msgs
}

// Assignments implements agent.Handler.
func (h *handler) Assignments(a *dispatchpb.Assignments) error {
	w := (*Worker)(h)
	w.mu.Lock()
	next, gone, err := w.held.apply(a)
	if err != nil {
		w.mu.Unlock()
		return err
	}
	w.held = next
	w.mu.Unlock()

	// On disk before anything is done about it: a container never exists
	// without the node knowing why.
	if err := w.cfg.State.Apply(a); err != nil {
		return fmt.Errorf("remember assignments: %w", err)
	}
	w.lowWater.raise(a.GetLowWaterMark())
	w.steer(a.GetTasks(), gone)
	if a.GetFull() {
		w.restate(a.GetTasks())
		wake(w.swept)
	}
	w.hear()
	wake(w.meshDue)
	return nil
}

// Recorded implements agent.Handler.
func (h *handler) Recorded(sequence uint64) { h.reports.Recorded(sequence) }

// Logs implements agent.Handler.
func (h *handler) Logs(sub *dispatchpb.LogSubscription) { h.logs.take(sub) }

// images returns what the node holds; empty when it keeps no store.
func (w *Worker) images(ctx context.Context) ([]*clusterpb.NodeImage, error) {
	if w.cfg.Images == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, imagesTimeout)
	defer cancel()
	return w.cfg.Images.Held(ctx)
}

// imageLoop reports the node's images when they change, or when they could
// not be told at registration.
func (w *Worker) imageLoop(ctx context.Context) error {
	if w.cfg.Images == nil {
		<-ctx.Done()
		return nil
	}
	retry := time.NewTicker(imagesTimeout)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.cfg.Images.Changed():
			w.mu.Lock()
			w.imagesDue = true
			w.mu.Unlock()
		case <-retry.C:
		}
		w.mu.Lock()
		due := w.imagesDue
		w.imagesDue = false
		w.mu.Unlock()
		if !due {
			continue
		}
		list, err := w.images(ctx)
		w.mu.Lock()
		if err != nil {
			w.imagesDue = true // the ticker tries again
		} else {
			w.imageNews = &dispatchpb.ReportImages{Images: list}
		}
		w.mu.Unlock()
		wake(w.due)
	}
}
