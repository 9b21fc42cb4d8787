package tasklog

import (
	"bytes"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	logspb "github.com/muster/muster/proto/logs/v1"
)

// A record is one line of a log file, in the format that Kubernetes' CRI
// defines, so that it can be read without muster:
//
//	2026-11-24T08:15:00.000000000Z stdout F text
//
// F ends a line of the task; P is a piece of one that goes on or never ended.
// All before the text has the same length in every record.
const (
	timeFormat = "2006-01-02T15:04:05.000000000Z"
	flagAt     = len(timeFormat) + len(" stdout ")
	headLen    = flagAt + len("F ")
	whole      = 'F'
	piece      = 'P'
)

// maxLine is the longest piece of text in a record; longer lines are split.
const maxLine = 16 << 10

// appendRecord appends a record to b.
func appendRecord(b []byte, at time.Time, stream logspb.LogMessage_Stream, flag byte, text []byte) []byte {
	b = at.UTC().AppendFormat(b, timeFormat)
	if stream == stderr {
		b = append(b, " stderr "...)
	} else {
		b = append(b, " stdout "...)
	}
	b = append(b, flag, ' ')
	b = append(b, text...)
	return append(b, '\n')
}

// parseRecord reads a record without its final newline. The message's data
// ends in a newline where the task's line ended.
func parseRecord(line []byte) (*logspb.LogMessage, error) {
	if len(line) < headLen {
		return nil, fmt.Errorf("record of %d bytes is too short", len(line))
	}
	at, err := recordTime(line)
	if err != nil {
		return nil, err
	}
	m := &logspb.LogMessage{At: timestamppb.New(at), Stream: stdout, Data: bytes.Clone(line[headLen:])}
	if bytes.HasPrefix(line[len(timeFormat):], []byte(" stderr ")) {
		m.Stream = stderr
	}
	if line[flagAt] == whole {
		m.Data = append(m.Data, '\n')
	}
	return m, nil
}

// recordTime reads when a record was written.
func recordTime(line []byte) (time.Time, error) {
	at, err := time.Parse(timeFormat, string(line[:min(len(line), len(timeFormat))]))
	if err != nil {
		return at, fmt.Errorf("record: %w", err)
	}
	return at, nil
}

func isPiece(line []byte) bool { return len(line) >= headLen && line[flagAt] == piece }

// wanted reports whether a record is of the time that o asks for. What a crash
// left half-written is not.
func wanted(line []byte, o *logspb.LogOptions) bool {
	if o.GetSince() == nil && o.GetUntil() == nil {
		return true // nothing to look at
	}
	at, err := recordTime(line)
	return err == nil && !early(at, o) && !late(at, o)
}

// early and late report whether a time is before or after what o asks for.
func early(at time.Time, o *logspb.LogOptions) bool {
	return o.GetSince() != nil && at.Before(o.GetSince().AsTime())
}

func late(at time.Time, o *logspb.LogOptions) bool {
	return o.GetUntil() != nil && at.After(o.GetUntil().AsTime())
}
