package logmerge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	logspb "github.com/muster/muster/proto/logs/v1"
)

// play calls f with a merge of two sources, an hour after second 0.
func play(t *testing.T, window time.Duration, f func(*scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &scene{t: t, Merge: New(window), zero: time.Now().Add(-time.Hour)}
		s.a, s.b = s.Join(), s.Join()
		f(s)
	})
}

type scene struct {
	t *testing.T
	*Merge
	a, b *Source
	zero time.Time
}

// put adds lines of a source, at so long after second 0.
func (s *scene) put(to *Source, at ...time.Duration) {
	s.t.Helper()
	for _, d := range at {
		m := &logspb.LogMessage{At: timestamppb.New(s.zero.Add(d)), Data: fmt.Append(nil, d)}
		if err := to.Put(s.t.Context(), m); err != nil {
			s.t.Fatal(err)
		}
	}
}

// want checks what can be taken now, and how long until there may be more.
func (s *scene) want(lines string, wait time.Duration) {
	s.t.Helper()
	var got []string
	taken, w := s.Take(time.Now())
	for _, m := range taken {
		got = append(got, string(m.GetData()))
	}
	if text := strings.Join(got, " "); text != lines || w != wait {
		s.t.Errorf("took %q and is to wait %v, want %q and %v", text, w, lines, wait)
	}
}

func TestAllIsWaitedFor(t *testing.T) {
	play(t, 0, func(s *scene) {
		s.put(s.a, 1, 3)
		time.Sleep(time.Minute)
		s.want("", forever)
		s.put(s.b, 2, 3)
		s.want("1ns 2ns 3ns", forever) // of equal ones that of the first source
		s.put(s.a, 9)
		s.want("3ns", forever)
		s.b.Close()
		s.want("9ns", forever)
		if s.Done() {
			t.Error("done before a is at its end")
		}
		s.a.Close()
		if !s.Done() {
			t.Error("not done at the end")
		}
	})
}

func TestWindow(t *testing.T) {
	const window = 300 * time.Millisecond
	play(t, window, func(s *scene) {
		s.put(s.a, 1, 3)
		s.want("", window) // b may have as old ones
		time.Sleep(100 * time.Millisecond)
		s.want("", 200*time.Millisecond)
		s.put(s.b, 2)
		s.want("1ns 2ns", window) // b has had one right now
		time.Sleep(window)
		s.want("3ns", forever)

		// A line of this moment waits until it is old enough.
		time.Sleep(time.Hour)
		s.put(s.a, time.Since(s.zero))
		s.want("", window)
		time.Sleep(200 * time.Millisecond)
		now := time.Since(s.zero)
		s.put(s.b, now-250*time.Millisecond)
		time.Sleep(100 * time.Millisecond)
		taken, _ := s.Take(time.Now())
		if len(taken) != 1 || string(taken[0].GetData()) != (now-250*time.Millisecond).String() {
			t.Errorf("took %v, want the line that came late but is older", taken)
		}
	})
}

// What the clock of a node says of the future is not waited for.
func TestClockThatIsAhead(t *testing.T) {
	play(t, time.Second, func(s *scene) {
		s.put(s.a, 5*time.Hour)
		s.want("", time.Second)
		time.Sleep(time.Second)
		s.want("5h0m0s", forever)
	})
}

func TestSourceWaitsForRoom(t *testing.T) {
	play(t, 0, func(s *scene) {
		ctx, cancel := context.WithCancel(s.t.Context())
		long := &logspb.LogMessage{Data: make([]byte, room)}
		if err := s.a.Put(ctx, long); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, cancel)
		if err := s.a.Put(ctx, long); !errors.Is(err, context.Canceled) {
			t.Errorf("there was room for more: %v", err)
		}
		s.b.Drop()
		time.AfterFunc(time.Second, func() { s.Take(time.Now()) })
		if err := s.a.Put(s.t.Context(), long); err != nil {
			t.Error(err)
		}
		time.AfterFunc(time.Second, s.Stop)
		if err := s.a.Put(s.t.Context(), long); !errors.Is(err, ErrDropped) {
			t.Errorf("put after the end: %v", err)
		}
		if err := s.Join().Put(s.t.Context(), long); !errors.Is(err, ErrDropped) {
			t.Errorf("joined after the end: %v", err)
		}
	})
}

func TestSilence(t *testing.T) {
	play(t, 0, func(s *scene) {
		s.put(s.a, 1)
		time.Sleep(time.Second)
		now := time.Now()
		if s.a.Silent(now, time.Second) || !s.b.Silent(now, time.Second) || s.b.Silent(now, 2*time.Second) || s.Quiet(now, time.Second) {
			t.Error("a has a line, b has had none for a second")
		}
		s.b.Drop()
		s.want("1ns", forever)
		if s.b.Silent(now, 0) || s.Quiet(time.Now(), time.Second) {
			t.Error("a line was taken right now, b is not heard any more")
		}
	})
}

// A batch is bounded, and the rest follows.
func TestBatch(t *testing.T) {
	play(t, 0, func(s *scene) {
		s.b.Close()
		for range 3 {
			if err := s.a.Put(s.t.Context(), &logspb.LogMessage{Data: make([]byte, 40<<10)}); err != nil {
				t.Fatal(err)
			}
		}
		if lines, wait := s.Take(time.Now()); len(lines) != 2 || wait != 0 {
			t.Errorf("took %d lines and is to wait %v", len(lines), wait)
		}
		if lines, wait := s.Take(time.Now()); len(lines) != 1 || wait != forever {
			t.Errorf("took %d more lines and is to wait %v", len(lines), wait)
		}
	})
}
