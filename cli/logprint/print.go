package logprint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/render"
	"github.com/muster/muster/cli/task"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	logspb "github.com/muster/muster/proto/logs/v1"
)

// Options say how to print.
type Options struct {
	Timestamps bool
	NoTrunc    bool
	NoTaskIDs  bool
	Raw        bool
	Details    bool
}

// Printer writes log messages: standard output to Out, standard error to Err.
type Printer struct {
	Out, Err io.Writer
	Options
	// Names and Tasks name what a message comes from; a task that is not in
	// Tasks is asked for by Lookup, once.
	Names  task.Names
	Tasks  map[string]*clusterpb.Task
	Lookup func(ctx context.Context, id string) (*clusterpb.Task, error)

	// Last is the time of the newest message that was printed.
	Last time.Time
	// Printing are the tasks that may still print, as managers last said.
	Printing []string

	width int // of the widest prefix so far, to line messages up
	// open is the stream whose last piece did not end its line.
	open *stream
}

type stream struct {
	task string
	kind logspb.LogMessage_Stream
}

// Copy prints everything until the stream ends. Warnings, of nodes that
// cannot be asked, go to Err.
func (p *Printer) Copy(ctx context.Context, in controlpb.LogService_SubscribeLogsClient) error {
	defer p.endLine()
	for {
		r, err := in.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if r.GetPrinting() != nil {
			p.Printing = r.GetPrinting().GetTaskIds()
		}
		if r.GetWarning() != "" {
			p.Warn(r.GetWarning())
		}
		for _, m := range r.GetMessages() {
			if err := p.Print(ctx, m); err != nil {
				return err
			}
		}
	}
}

// Warn tells of what is missing.
func (p *Printer) Warn(text string) {
	p.endLine()
	fmt.Fprintf(p.Err, "muster: warning: %s\n", command.Printable(text))
}

// WarnOfGone tells of those tasks that are no more, since what they printed last
// may not have come.
func (p *Printer) WarnOfGone(ctx context.Context, tasks []string) {
	ctx, cancel := context.WithTimeout(ctx, goneTimeout)
	defer cancel()
	var gone []string
	for _, id := range tasks {
		if _, err := p.Lookup(ctx, id); errdefs.IsNotFound(err) {
			gone = append(gone, id)
		}
	}
	if len(gone) > 0 {
		p.Warn("removed while no manager was heard: their last lines may be missing: tasks " + strings.Join(gone, ", "))
	}
}

// goneTimeout bounds the questions that WarnOfGone asks.
const goneTimeout = 5 * time.Second

// Print writes one message. A piece of a longer line is continued without a
// prefix by the next piece, unless another stream comes between. It fails when
// nobody can read what is written any more.
func (p *Printer) Print(ctx context.Context, m *logspb.LogMessage) error {
	if at := m.GetAt().AsTime(); at.After(p.Last) {
		p.Last = at
	}
	from := stream{m.GetTaskId(), m.GetStream()}
	if p.open != nil && *p.open != from {
		p.endLine()
	}
	var b bytes.Buffer
	if p.open == nil {
		b.WriteString(p.prefix(ctx, m))
	}
	p.open = nil
	b.Write(m.GetData())
	if !bytes.HasSuffix(m.GetData(), []byte("\n")) {
		p.open = &from
	}
	if _, err := p.writer(from).Write(b.Bytes()); err != nil {
		return fmt.Errorf("write what tasks print: %w", err)
	}
	return nil
}

// endLine ends a line of which no more pieces come.
func (p *Printer) endLine() {
	if p.open != nil {
		fmt.Fprintln(p.writer(*p.open))
		p.open = nil
	}
}

func (p *Printer) writer(s stream) io.Writer {
	if s.kind == logspb.LogMessage_STREAM_STDERR {
		return p.Err
	}
	return p.Out
}

// timeFormat is RFC 3339 with all nine digits, as Docker has it: columns line up,
// and lines that are sorted as text are sorted by time.
const timeFormat = "2006-01-02T15:04:05.000000000Z07:00"

// prefix is what goes before a line: its time, then where it comes from.
func (p *Printer) prefix(ctx context.Context, m *logspb.LogMessage) string {
	var b strings.Builder
	if p.Timestamps {
		b.WriteString(m.GetAt().AsTime().Format(timeFormat) + " ")
	}
	if p.Details {
		fmt.Fprintf(&b, "node=%s,service=%s,task=%s ", m.GetNodeId(), m.GetServiceId(), m.GetTaskId())
	}
	if p.Raw {
		return b.String()
	}
	from := p.from(ctx, m)
	p.width = max(p.width, len(from))
	fmt.Fprintf(&b, "%-*s    | ", p.width, from)
	return b.String()
}

// from is SERVICE.SLOT.TASK@NODE.
func (p *Printer) from(ctx context.Context, m *logspb.LogMessage) string {
	t, ok := p.Tasks[m.GetTaskId()]
	if !ok {
		if p.Tasks == nil {
			p.Tasks = make(map[string]*clusterpb.Task)
		}
		var err error
		if t, err = p.Lookup(ctx, m.GetTaskId()); err != nil {
			t = nil // it may be gone by now
		}
		p.Tasks[m.GetTaskId()] = t
	}
	var name string
	if t != nil {
		name = p.Names.Task(t)
	}
	if id := render.ID(m.GetTaskId(), p.NoTrunc); !p.NoTaskIDs || name == "" {
		name = strings.TrimPrefix(name+"."+id, ".")
	}
	return command.Printable(name + "@" + p.Names.Node(m.GetNodeId()))
}
