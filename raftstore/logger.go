package raftstore

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// raftLogger returns a logger for raft that writes to log. Raft calls an error
// what it goes on to retry for ever, and says so several times a second, so
// levels go down a step and what repeats is logged once in repeatAfter.
func raftLogger(log *slog.Logger) hclog.Logger {
	l := hclog.NewInterceptLogger(&hclog.LoggerOptions{Level: hclog.Off, Output: io.Discard})
	l.RegisterSink(&logSink{log: log, last: make(map[string]time.Time)})
	return l
}

const repeatAfter = 10 * time.Second

// logSink passes on what raft logs.
type logSink struct {
	log *slog.Logger

	mu   sync.Mutex
	last map[string]time.Time // when a message was last passed on
}

// Accept implements hclog.SinkAdapter.
func (s *logSink) Accept(_ string, level hclog.Level, msg string, args ...any) {
	to := slogLevel(level)
	if !s.log.Enabled(context.Background(), to) {
		return
	}
	for i, a := range args {
		if f, ok := a.(hclog.Format); ok && len(f) > 0 {
			args[i] = fmt.Sprintf(fmt.Sprint(f[0]), f[1:]...)
		}
	}
	if to >= slog.LevelInfo && s.repeats(msg, args) {
		return
	}
	s.log.Log(context.Background(), to, "raft: "+msg, args...) //nolint:sloglint // raft's own words
}

func (s *logSink) repeats(msg string, args []any) bool {
	key := msg
	if len(args) > 1 {
		key += fmt.Sprint(args[1]) // the member it is about
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if len(s.last) > 1000 {
		clear(s.last)
	}
	if now.Sub(s.last[key]) < repeatAfter {
		return true
	}
	s.last[key] = now
	return false
}

func slogLevel(level hclog.Level) slog.Level {
	switch level {
	case hclog.Error:
		return slog.LevelWarn
	case hclog.Warn:
		return slog.LevelInfo
	default:
		return slog.LevelDebug
	}
}
