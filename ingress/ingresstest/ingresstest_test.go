package ingresstest_test

import (
	"context"
	"net/netip"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/ingress"
	"github.com/muster/muster/ingress/ingresstest"
)

// plane is what both data planes can do.
type plane interface {
	Run(ctx context.Context) error
	Set(w *ingress.Want)
	Attach(ctx context.Context, t ingress.Task) error
	Detach(ctx context.Context, taskID string) error
	CreateNetns(taskID string) (path string, err error)
	DeleteNetns(taskID string) error
	Netns() (taskIDs []string, err error)
	Connections(ctx context.Context, addrs []netip.Addr) (int, error)
	Diff(ctx context.Context) ([]string, error)
	Index() uint64
	Repairs() uint64
	Remove(ctx context.Context) error
}

var (
	_ plane = (*ingress.Plane)(nil)
	_ plane = (*ingresstest.Plane)(nil)
)

func TestRecords(t *testing.T) {
	var applied uint64
	p := ingresstest.New()
	p.Applied = func(index uint64) { applied = index }
	p.Set(&ingress.Want{Index: 7})
	if applied != 7 || p.Index() != 7 || p.Want().Index != 7 {
		t.Errorf("applied %d and holds %d, want 7", applied, p.Want().Index)
	}
	task := ingress.Task{ID: "a"}
	if err := p.Attach(t.Context(), task); !errdefs.IsNotFound(err) {
		t.Errorf("attach without a namespace: %v, want not found", err)
	}
	if _, err := p.CreateNetns(task.ID); err != nil {
		t.Fatal(err)
	}
	if err := p.Attach(t.Context(), task); err != nil {
		t.Fatal(err)
	}
	if _, ok := p.Attached()["a"]; !ok {
		t.Error("the task is not recorded as attached")
	}
}
