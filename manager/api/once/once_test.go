package once_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"

	"github.com/muster/muster/manager/api/apitest"
	"github.com/muster/muster/manager/api/once"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
)

// labelled puts a node back with one label more.
func labelled(st *state.State, label string) *raftpb.Change {
	n, _ := st.Node("n1")
	spec := proto.CloneOf(n.GetSpec())
	if spec.Labels == nil {
		spec.Labels = map[string]string{}
	}
	spec.Labels[label] = "x"
	return state.PutNode(&raftpb.PutNode{Id: "n1", Version: n.GetVersion(), Spec: spec})
}

func another(i int) func(*state.State) *raftpb.Change {
	return func(st *state.State) *raftpb.Change { return labelled(st, fmt.Sprint("other", i)) }
}

func newStore(t *testing.T, races int) *apitest.Store {
	t.Helper()
	s := apitest.New(t, state.PutNode(&raftpb.PutNode{Id: "n1", Spec: &clusterpb.NodeSpec{}}))
	for i := range races {
		s.Races = append(s.Races, another(i))
	}
	return s
}

// write adds a label, counts how often it was decided, and is answered with
// the number of labels.
func write(pinned bool, decided *int) once.Write[int] {
	return once.Write[int]{
		Pinned: pinned,
		Decide: func(st *state.State) (*raftpb.Change, error) {
			*decided++
			return labelled(st, "ours"), nil
		},
		Answer: func(st *state.State, id string) (int, error) {
			n, ok := st.Node(id)
			if !ok {
				return 0, fmt.Errorf("node %s is gone: %w", id, errdefs.ErrNotFound)
			}
			return len(n.GetSpec().GetLabels()), nil
		},
	}
}

func TestOvertaken(t *testing.T) {
	tests := map[string]struct {
		races  int
		pinned bool
		want   int // labels; 0 when refused
		tries  int
	}{
		"alone":                   {0, false, 1, 1},
		"by one":                  {1, false, 2, 2},
		"by as many as may be":    {10, false, 11, 11},
		"by one too many":         {11, false, 0, 11},
		"pinned, alone":           {0, true, 1, 1},
		"pinned, and overtaken":   {1, true, 0, 1},
		"for ever, which is told": {1000, false, 0, 11},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s, decided := newStore(t, tt.races), 0
			got, err := write(tt.pinned, &decided).Do(apitest.Request(t, "r1"), s)
			if got != tt.want || (tt.want == 0) != errdefs.IsConflict(err) || decided != tt.tries {
				t.Errorf("got %d, %v after %d tries; want %d after %d", got, err, decided, tt.want, tt.tries)
			}
		})
	}
}

// TestRepeatedSuccess is answered with the object, and changes nothing.
func TestRepeatedSuccess(t *testing.T) {
	for _, races := range []int{0, 1, 5} {
		t.Run(fmt.Sprintf("after %d races", races), func(t *testing.T) {
			s, decided := newStore(t, races), 0
			w := write(false, &decided)
			first, err := w.Do(apitest.Request(t, "r1"), s)
			if err != nil {
				t.Fatal(err)
			}
			version, tries := s.State().Index, decided
			again, err := w.Do(apitest.Request(t, "r1"), s)
			if err != nil || again != first || decided != tries || s.State().Index != version {
				t.Errorf("answered %d, %v and then %d; decided %d times more", first, err, again, decided-tries)
			}
			if _, err := w.Do(apitest.Request(t, "r2"), s); err != nil || decided != tries+1 {
				t.Errorf("another request: %v, decided %d times more", err, decided-tries)
			}
		})
	}
}

// TestLostAnswer: who repeats a request because its answer was lost is told
// what became of it, wherever among the attempts that was.
func TestLostAnswer(t *testing.T) {
	for _, races := range []int{0, 3} {
		s, decided := newStore(t, races), 0
		s.Lost = append(make([]error, 0), lost(races)...)
		w := write(false, &decided)
		if _, err := w.Do(apitest.Request(t, "r1"), s); !errdefs.IsUnavailable(err) {
			t.Fatalf("after %d races: %v, want the answer lost", races, err)
		}
		tries := decided
		if got, err := w.Do(apitest.Request(t, "r1"), s); err != nil || got != races+1 || decided != tries {
			t.Errorf("after %d races: repeated %d, %v; decided %d times more", races, got, err, decided-tries)
		}
	}
}

// lost lets n refusals through and loses the answer after.
func lost(n int) (errs []error) {
	for range n {
		errs = append(errs, fmt.Errorf("overtaken: %w", errdefs.ErrConflict))
	}
	return append(errs, fmt.Errorf("no leader: %w", errdefs.ErrUnavailable))
}

// TestRepeatedRefusal is the refusal, with its kind and text.
func TestRepeatedRefusal(t *testing.T) {
	create := func(name string) once.Write[string] {
		return once.Write[string]{
			Decide: func(*state.State) (*raftpb.Change, error) {
				spec := &clusterpb.ServiceSpec{Name: name, Task: &clusterpb.TaskSpec{}}
				return state.PutService(&raftpb.PutService{Id: "s-" + name, Spec: spec, Version: 7}), nil // of none
			},
			Answer: once.ID,
		}
	}
	conflicting := func(s *apitest.Store) once.Write[string] {
		old := labelled(s.State(), "old")
		s.Commit(another(0)(s.State()))
		return once.Write[string]{Pinned: true, Decide: func(*state.State) (*raftpb.Change, error) { return old, nil }, Answer: once.ID}
	}
	s := newStore(t, 0)
	for name, w := range map[string]once.Write[string]{"gone": create("web"), "overtaken": conflicting(s)} {
		t.Run(name, func(t *testing.T) {
			ctx := apitest.Request(t, name)
			_, first := w.Do(ctx, s)
			proposals := s.Proposals
			s.Commit(another(1)(s.State())) // the state goes on
			_, again := w.Do(ctx, s)
			if first == nil || again == nil || first.Error() != again.Error() || s.Proposals != proposals {
				t.Fatalf("first %v, then %v", first, again)
			}
			if errdefs.IsNotFound(first) != errdefs.IsNotFound(again) || errdefs.IsConflict(first) != errdefs.IsConflict(again) {
				t.Errorf("the kind of %v was lost", again)
			}
		})
	}
}

// TestRefusedByTheHandler: nothing is proposed, nothing is kept.
func TestRefusedByTheHandler(t *testing.T) {
	s, why := newStore(t, 0), errors.New("no")
	w := once.Write[string]{Decide: func(*state.State) (*raftpb.Change, error) { return nil, why }, Answer: once.ID}
	if _, err := w.Do(apitest.Request(t, "r1"), s); !errors.Is(err, why) || s.Proposals != 0 {
		t.Errorf("got %v after %d proposals", err, s.Proposals)
	}
	// A handler's conflict is no race: it would say the same again.
	calls := 0
	w.Decide = func(*state.State) (*raftpb.Change, error) { calls++; return nil, errdefs.ErrConflict }
	if _, err := w.Do(t.Context(), s); !errdefs.IsConflict(err) || calls != 1 {
		t.Errorf("got %v after %d calls", err, calls)
	}
}

// TestWithoutAnID each call is a request of its own.
func TestWithoutAnID(t *testing.T) {
	s, decided := newStore(t, 0), 0
	for range 2 {
		if _, err := write(false, &decided).Do(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	if decided != 2 {
		t.Errorf("decided %d times, want 2", decided)
	}
}

func TestCheckVersion(t *testing.T) {
	for seen, ok := range map[uint64]bool{0: true, 5: true, 4: false, 6: false} {
		err := once.CheckVersion("service web", 5, seen)
		if ok != (err == nil) || !ok && (!errdefs.IsConflict(err) ||
			err.Error() != fmt.Sprintf("service web is at version 5, not %d: it has changed since; look at it again: conflict", seen)) {
			t.Errorf("version %d: %v", seen, err)
		}
	}
}

// TestBefore: what is done before is done for what was decided and is not made
// yet, and what fails then is the answer.
func TestBefore(t *testing.T) {
	s, decided, done := newStore(t, 1), 0, 0
	var fails error
	w := write(false, &decided)
	w.Before = func(_ context.Context, st *state.State, c *raftpb.Change) error {
		if n, ok := st.Node(c.GetPutNode().GetId()); !ok || n.GetVersion() != c.GetPutNode().GetVersion() {
			t.Error("it is shown another state than the change was decided on")
		}
		done++
		return fails
	}
	fails = errdefs.ErrFailedPrecondition
	if _, err := w.Do(apitest.Request(t, "r1"), s); !errdefs.IsFailedPrecondition(err) || s.Proposals != 0 {
		t.Errorf("it failed: %v, %d proposals", err, s.Proposals)
	}
	fails = nil
	for range 2 { // the second is a repetition
		if _, err := w.Do(apitest.Request(t, "r1"), s); err != nil {
			t.Fatal(err)
		}
	}
	if done != 3 {
		t.Errorf("done %d times, want once for the failure and for each of two attempts", done)
	}
	w.Decide = func(*state.State) (*raftpb.Change, error) { return nil, errdefs.ErrNotFound }
	if _, err := w.Do(apitest.Request(t, "r2"), s); !errdefs.IsNotFound(err) || done != 3 {
		t.Errorf("refused: %v, done %d times", err, done)
	}
}
