package raftstore

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/hashicorp/go-hclog"

	"github.com/muster/muster/internal/repeat"
)

// raftLogger returns a logger for raft that writes to log. Raft calls an error
// what it goes on to retry for ever, and says so several times a second, so
// levels go down a step and what repeats is logged seldom.
func raftLogger(log *slog.Logger) hclog.Logger {
	l := hclog.NewInterceptLogger(&hclog.LoggerOptions{Level: hclog.Off, Output: io.Discard})
	l.RegisterSink(&logSink{log: log})
	return l
}

// logSink passes on what raft logs.
type logSink struct {
	log    *slog.Logger
	filter repeat.Filter
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
	_, ok := s.filter.Pass(key)
	return !ok
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
