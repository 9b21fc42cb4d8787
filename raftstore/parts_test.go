package raftstore

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/hashicorp/go-hclog"
)

func TestCheckRemoval(t *testing.T) {
	// Members are written as a letter each: upper case is a voter, a trailing !
	// marks one that does not answer.
	tests := map[string]struct {
		members string
		id      string
		is      func(error) bool
	}{
		"one of three":               {"A B C", "C", nil},
		"a dead one of three":        {"A B C!", "C", nil},
		"one of three, one dead":     {"A B C!", "B", errdefs.IsFailedPrecondition},
		"one of two":                 {"A B", "B", nil},
		"a dead one of two":          {"A B!", "B", nil},
		"the live one of two":        {"A B!", "A", errdefs.IsFailedPrecondition},
		"the last":                   {"A", "A", errdefs.IsFailedPrecondition},
		"the last but a newcomer":    {"A b", "A", errdefs.IsFailedPrecondition},
		"a newcomer":                 {"A b", "b", nil},
		"a stranger":                 {"A B", "X", errdefs.IsNotFound},
		"one of five, two dead":      {"A B C D! E!", "C", errdefs.IsFailedPrecondition},
		"a dead one of five, of two": {"A B C D! E!", "E", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var members []Member
			reachable := make(map[string]bool)
			for m := range strings.FieldsSeq(tt.members) {
				id := strings.TrimSuffix(m, "!")
				members = append(members, Member{ID: id, Voter: id == strings.ToUpper(id)})
				reachable[id] = id == m
			}
			err := checkRemoval(members, reachable, tt.id)
			if (tt.is == nil) != (err == nil) || (tt.is != nil && !tt.is(err)) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var empty gate
		if !empty.close(time.Hour) || empty.enter() {
			t.Error("a gate without calls does not close")
		}
		var g gate
		for range 2 {
			if !g.enter() {
				t.Fatal("an open gate lets nobody in")
			}
		}
		go func() {
			time.Sleep(time.Second)
			g.leave()
			time.Sleep(time.Second)
			g.leave()
		}()
		start := time.Now()
		if !g.close(time.Minute) || time.Since(start) != 2*time.Second {
			t.Errorf("closed after %v, want 2s", time.Since(start))
		}
		var stuck gate
		stuck.enter()
		if stuck.close(time.Second) {
			t.Error("a call under way was not noticed")
		}
		stuck.leave()
	})
}

func TestRaftLogger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{
			Level: slog.LevelDebug,
			ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey {
					return slog.Attr{}
				}
				return a
			},
		}))
		l := raftLogger(log).With("id", "s1")
		expect := func(want string) {
			t.Helper()
			if got := out.String(); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			out.Reset()
		}
		l.Error("failed to heartbeat to", "peer", "m2", "error", errors.New("refused"))
		expect("level=WARN msg=\"raft: failed to heartbeat to\" id=s1 peer=m2 error=refused\n")
		l.Info("initial configuration", "servers", hclog.Fmt("%d members", 3))
		expect("level=DEBUG msg=\"raft: initial configuration\" id=s1 servers=\"3 members\"\n")
		l.Warn("election timeout reached")
		expect("level=INFO msg=\"raft: election timeout reached\" id=s1\n")
	})
}

func TestRaftLoggerSaysItOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := raftLogger(slog.New(slog.NewTextHandler(&out, nil)))
		for range 300 {
			for _, peer := range []string{"m2", "m3"} {
				l.Error("failed to heartbeat to", "peer", peer)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if got := strings.Count(out.String(), "\n"); got != 6 {
			t.Errorf("%d lines in 30 s about two members, want 6:\n%s", got, out.String())
		}
	})
}
