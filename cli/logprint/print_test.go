package logprint

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	logspb "github.com/muster/muster/proto/logs/v1"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 5, time.UTC)

func message(task string, stream logspb.LogMessage_Stream, data string) *logspb.LogMessage {
	return &logspb.LogMessage{
		TaskId: task, ServiceId: "svc", NodeId: "node", At: timestamppb.New(noon), Stream: stream, Data: []byte(data),
	}
}

type fakeStream struct {
	grpc.ClientStream
	responses []*controlpb.SubscribeLogsResponse
}

func (s *fakeStream) Recv() (*controlpb.SubscribeLogsResponse, error) {
	if len(s.responses) == 0 {
		return nil, io.EOF
	}
	r := s.responses[0]
	s.responses = s.responses[1:]
	return r, nil
}

func TestPrint(t *testing.T) {
	const (
		out = logspb.LogMessage_STREAM_STDOUT
		err = logspb.LogMessage_STREAM_STDERR
	)
	long := strings.Repeat("x", 16<<10)
	tests := map[string]struct {
		options  Options
		messages []*logspb.LogMessage
		wantOut  string
		wantErr  string
	}{
		"lines of two tasks": {
			messages: []*logspb.LogMessage{message("t1", out, "a\n"), message("task10", err, "b"), message("t1", out, "c\n")},
			wantOut:  "web.1.t1@node    | a\nweb.1.t1@node         | c\n",
			wantErr:  "web.10.task10@node    | b\n",
		},
		"raw":          {options: Options{Raw: true}, messages: []*logspb.LogMessage{message("t1", out, "a\n")}, wantOut: "a\n"},
		"timestamps":   {options: Options{Raw: true, Timestamps: true}, messages: []*logspb.LogMessage{message("t1", out, "a\n")}, wantOut: "2026-01-02T12:00:00.000000005Z a\n"},
		"no task ids":  {options: Options{NoTaskIDs: true}, messages: []*logspb.LogMessage{message("t1", out, "a\n")}, wantOut: "web.1@node    | a\n"},
		"details":      {options: Options{Raw: true, Details: true}, messages: []*logspb.LogMessage{message("t1", out, "a\n")}, wantOut: "node=node,service=svc,task=t1 a\n"},
		"unknown task": {messages: []*logspb.LogMessage{message("t9", out, "a\n")}, wantOut: "t9@node    | a\n"},
		"pieces of a line": {
			options:  Options{Raw: true, Timestamps: true},
			messages: []*logspb.LogMessage{message("t1", out, long), message("t1", out, "end\n")},
			wantOut:  "2026-01-02T12:00:00.000000005Z " + long + "end\n",
		},
		"pieces with another line between": {
			options:  Options{Raw: true},
			messages: []*logspb.LogMessage{message("t1", out, long), message("t1", err, "no\n"), message("t1", out, "end\n")},
			wantOut:  long + "\nend\n", wantErr: "no\n",
		},
		"a line that grows": {
			options:  Options{Raw: true},
			messages: []*logspb.LogMessage{message("t1", out, "\r10%"), message("t1", out, "\r20%"), message("t1", out, "\n"), message("t1", out, "done\n")},
			wantOut:  "\r10%\r20%\ndone\n",
		},
		"a piece at the end": {options: Options{Raw: true}, messages: []*logspb.LogMessage{message("t1", out, long)}, wantOut: long + "\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			p := &Printer{
				Out: &stdout, Err: &stderr, Options: tt.options,
				Tasks:  map[string]*clusterpb.Task{"t1": {ServiceId: "web", Slot: 1}, "task10": {ServiceId: "web", Slot: 10}},
				Lookup: func(context.Context, string) (*clusterpb.Task, error) { return nil, errdefs.ErrNotFound },
			}
			if err := p.Copy(t.Context(), &fakeStream{responses: []*controlpb.SubscribeLogsResponse{{Messages: tt.messages}}}); err != nil {
				t.Fatal(err)
			}
			if stdout.String() != tt.wantOut || stderr.String() != tt.wantErr {
				t.Errorf("out %q, err %q, want %q and %q", stdout.String(), stderr.String(), tt.wantOut, tt.wantErr)
			}
			if !p.Last.Equal(noon) {
				t.Errorf("last = %s, want %s", p.Last, noon)
			}
		})
	}
}

// Times have one width, whatever they end in.
func TestTimesLineUp(t *testing.T) {
	for _, at := range []time.Time{noon, noon.Add(-5), noon.Add(1e8 - 5)} {
		var out bytes.Buffer
		m := message("t1", logspb.LogMessage_STREAM_STDOUT, "a\n")
		m.At = timestamppb.New(at)
		if err := (&Printer{Out: &out, Options: Options{Raw: true, Timestamps: true}}).Print(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		if got, want := len(out.String()), len("2026-01-02T12:00:00.000000005Z a\n"); got != want {
			t.Errorf("%q has %d characters, want %d", out.String(), got, want)
		}
	}
}

// closed is a standard output that cannot be written.
type closed struct{}

func (closed) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestCopyEndsWhenNobodyReads(t *testing.T) {
	in := &fakeStream{responses: []*controlpb.SubscribeLogsResponse{
		{Messages: []*logspb.LogMessage{message("t1", logspb.LogMessage_STREAM_STDOUT, "a\n")}}, {},
	}}
	p := &Printer{Out: closed{}, Err: io.Discard, Options: Options{Raw: true}}
	if err := p.Copy(t.Context(), in); !errors.Is(err, os.ErrClosed) {
		t.Errorf("ended with %v", err)
	}
	if len(in.responses) != 1 {
		t.Error("went on reading")
	}
}

func TestCopyPassesWarningsOn(t *testing.T) {
	var stderr bytes.Buffer
	p := &Printer{Out: io.Discard, Err: &stderr}
	if err := p.Copy(t.Context(), &fakeStream{responses: []*controlpb.SubscribeLogsResponse{{Warning: "node beta is down"}}}); err != nil {
		t.Fatal(err)
	}
	if got := stderr.String(); got != "muster: warning: node beta is down\n" {
		t.Errorf("warning = %q", got)
	}
}

func TestParseTime(t *testing.T) {
	tests := map[string]struct {
		in   string
		want time.Time
	}{
		"time":          {"2026-01-02T03:04:05Z", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
		"fraction":      {"2026-01-02T03:04:05.5+01:00", time.Date(2026, 1, 2, 2, 4, 5, 5e8, time.UTC)},
		"duration":      {"42m", noon.Add(-42 * time.Minute)},
		"unix":          {"1700000000", time.Unix(1700000000, 0)},
		"unix fraction": {"1700000000.25", time.Unix(1700000000, 25e7)},
		"epoch":         {"0", time.Unix(0, 0)},
		"minute":        {"2026-01-02T15:04+05:30", time.Date(2026, 1, 2, 9, 34, 0, 0, time.UTC)},
		"local minute":  {"2026-01-02T15:04", time.Date(2026, 1, 2, 15, 4, 0, 0, time.Local)},
		"day in UTC":    {"2026-01-02Z", time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)},
		"day":           {"2026-01-02", time.Date(2026, 1, 2, 0, 0, 0, 0, time.Local)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ParseTime(tt.in, noon)
			if err != nil || !got.Equal(tt.want) {
				t.Errorf("ParseTime(%q) = %s, %v, want %s", tt.in, got, err, tt.want)
			}
		})
	}
	for _, in := range []string{"", "yesterday", "-5m", "1.2.3", "-1"} {
		if got, err := ParseTime(in, noon); err == nil {
			t.Errorf("ParseTime(%q) = %s, want an error", in, got)
		}
	}
}
