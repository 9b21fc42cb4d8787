package tasklog

import (
	"bytes"
	"time"

	logspb "github.com/muster/muster/proto/logs/v1"
)

// splitter makes records of what a task prints on one stream.
type splitter struct {
	stream logspb.LogMessage_Stream
	// rest is the beginning of a line that has not ended, shorter than maxLine.
	rest []byte
}

// split appends the records of data to out.
func (s *splitter) split(out []byte, at time.Time, data []byte) []byte {
	for len(data) > 0 {
		end := bytes.IndexByte(data, '\n')
		room := maxLine - len(s.rest)
		switch {
		case end >= 0 && end <= room:
			out = s.record(out, at, whole, data[:end])
			data = data[end+1:]
		case len(data) < room:
			s.rest = append(s.rest, data...)
			return out
		default:
			out = s.record(out, at, piece, data[:room])
			data = data[room:]
		}
	}
	return out
}

// finish appends what is left once the stream has ended.
func (s *splitter) finish(out []byte, at time.Time) []byte {
	if len(s.rest) == 0 {
		return out
	}
	return s.record(out, at, piece, nil)
}

// record appends a record of the rest and more.
func (s *splitter) record(out []byte, at time.Time, flag byte, more []byte) []byte {
	if len(s.rest) == 0 {
		return appendRecord(out, at, s.stream, flag, more)
	}
	out = appendRecord(out, at, s.stream, flag, append(s.rest, more...))
	// Most tasks print whole lines: let the memory go rather than keep it for
	// every stream.
	s.rest = nil
	return out
}
