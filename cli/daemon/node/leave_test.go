package node

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"

	"github.com/muster/muster/dispatcher/mtls/mtlstest"
	"github.com/muster/muster/proto/call"
	memberpb "github.com/muster/muster/proto/member/v1"
)

// leaving is a manager whose answers to Drain and Leave are given, in turn.
type leaving struct {
	memberpb.UnimplementedMemberServiceServer

	drain, leave []func(context.Context) error
	asked        []string
}

func (l *leaving) next(ctx context.Context, name string, answers *[]func(context.Context) error) error {
	l.asked = append(l.asked, name)
	answer := (*answers)[0]
	*answers = (*answers)[1:]
	return answer(ctx)
}

func (l *leaving) Drain(ctx context.Context, _ *memberpb.DrainRequest) (*memberpb.DrainResponse, error) {
	return &memberpb.DrainResponse{}, l.next(ctx, "drain", &l.drain)
}

func (l *leaving) Leave(ctx context.Context, _ *memberpb.LeaveRequest) (*memberpb.LeaveResponse, error) {
	return &memberpb.LeaveResponse{}, l.next(ctx, "leave", &l.leave)
}

func TestLeavingByWhatManagersAnswer(t *testing.T) {
	type answers = []func(context.Context) error
	done := func(context.Context) error { return nil }
	lost := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	removed := func(context.Context) error { return call.ErrRemoved("n1") }
	quorum := func(context.Context) error { return errdefs.ErrFailedPrecondition.WithMessage("no quorum") }
	tests := map[string]struct {
		drain, leave answers
		asked        []string
		kind         func(error) bool // nil: it has left
		drained      bool             // it says that the node stays so
	}{
		"at once":                      {drain: answers{done}, leave: answers{done}, asked: []string{"drain", "leave"}},
		"the answer is lost":           {drain: answers{done}, leave: answers{lost, removed}, asked: []string{"drain", "leave", "leave"}},
		"it has to stay":               {drain: answers{quorum}, asked: []string{"drain"}, kind: errdefs.IsFailedPrecondition},
		"it has to stay by then":       {drain: answers{done}, leave: answers{quorum}, asked: []string{"drain", "leave"}, kind: errdefs.IsFailedPrecondition, drained: true},
		"it is in the cluster no more": {drain: answers{removed}, asked: []string{"drain"}, kind: errdefs.IsPermissionDenied},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				manager := &leaving{drain: tt.drain, leave: tt.leave}
				c, _ := askingOf(t, func(r grpc.ServiceRegistrar) { memberpb.RegisterMemberServiceServer(r, manager) }, first)
				m := &member{connect: c, settings: settings{Managers: []string{first}}, holder: mtlstest.Holding(c.credentials())}
				m.gossip = newGossiper(m)
				err := (&Node{}).askToLeave(t.Context(), m, false)
				if left := err == nil; left != (tt.kind == nil) || !left && !tt.kind(err) {
					t.Errorf("error %v", err)
				}
				if err != nil && strings.Contains(err.Error(), staysDrained) != tt.drained {
					t.Errorf("%v; says that the node stays drained, want %v", err, tt.drained)
				}
				if !slices.Equal(manager.asked, tt.asked) {
					t.Errorf("asked %q, want %q", manager.asked, tt.asked)
				}
				time.Sleep(time.Minute) // calls that are lost end
			})
		})
	}
}
