package progress

import (
	"fmt"
	"io"
	"strings"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/render"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/rollout"
)

// maxLines is how many slots are shown one by one. Of a larger service only
// those that do not run yet are, up to this number.
const maxLines = 20

// view turns reports into lines.
type view struct {
	service string
	// node names a node by its id.
	node func(id string) string
}

// headline is the first line: the whole at a glance.
func (v view) headline(r Report) string {
	s := v.service + ": " + count(r)
	if phase := rollout.Name(r.Phase); phase != "" {
		s += ", " + phase
	}
	return s
}

// count tells what serves: tasks of both sides of a rollout do.
func count(r Report) string {
	s := fmt.Sprintf("%d of %d running", r.Running, r.Desired)
	if r.Before > 0 {
		s += fmt.Sprintf(", %d as before", r.Before)
	}
	return s
}

// slot is the line of one slot.
func (v view) slot(s Slot) string {
	name := fmt.Sprintf("%s.%d", v.service, s.Number)
	if s.Canary {
		name += " (canary)"
	}
	line := fmt.Sprintf("  %s  %-9s", name, lifecycle.Name(s.State))
	if s.NodeID != "" {
		line += "  on " + v.node(s.NodeID)
	}
	if s.Reason != "" {
		line += "  " + s.Reason
	}
	return command.Printable(strings.TrimRight(strings.Join(strings.Split(line, "\n"), " "), " "))
}

// lines are the headline and the slots that are shown: all, if they are limit at
// most, or else those that are not done, up to limit.
func (v view) lines(r Report, limit int) []string {
	out := []string{v.headline(r)}
	hidden := 0
	for _, s := range r.Slots {
		switch {
		case len(r.Slots) > limit && s.Done:
		case len(out) > limit:
			hidden++
		default:
			out = append(out, v.slot(s))
		}
	}
	if hidden > 0 {
		out = append(out, fmt.Sprintf("  and %d more", hidden))
	}
	return out
}

// drawer shows reports as they come.
type drawer interface{ draw(Report) }

// silent is --quiet.
type silent struct{}

func (silent) draw(Report) {}

// screen redraws in place.
type screen struct {
	view
	w    io.Writer
	size func() (columns, rows int) // 0 when unknown
	last []string
}

// fit returns the lines of a report that fit on a screen. What is above its
// first row can no longer be redrawn, and the cursor takes the last one.
func (s *screen) fit(r Report, columns, rows int) []string {
	if rows <= 0 {
		rows = maxLines + 3
	}
	room := max(rows-1, 1)
	lines := s.lines(r, max(0, min(maxLines, room-2))) // beside the headline and the count of the rest
	lines = lines[:min(len(lines), room)]
	for i, line := range lines {
		// A line that wraps would break the count of lines to go up.
		lines[i] = render.Ellipsis(line, columns)
	}
	return lines
}

func (s *screen) draw(r Report) {
	columns, rows := s.size()
	lines := s.fit(r, columns, rows)
	var b strings.Builder
	if n := len(s.last); n > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", n)
	}
	for _, line := range lines {
		fmt.Fprintf(&b, "\x1b[2K%s\n", line)
	}
	b.WriteString("\x1b[J") // what is left of a longer view
	s.last = lines
	fmt.Fprint(s.w, b.String())
}

// plain writes a line when what it says has changed, for logs and pipes.
type plain struct {
	view
	w        io.Writer
	headLine string
	slots    map[string]string
}

func (p *plain) draw(r Report) {
	if head := p.headline(r); head != p.headLine {
		p.headLine = head
		fmt.Fprintln(p.w, head)
	}
	for _, s := range r.Slots {
		if s.State == lifecycle.New {
			continue // a task on its way to the scheduler is no news
		}
		key := fmt.Sprint(s.Number, s.Canary)
		// Progress in percent would fill a log: a slot speaks up when it
		// begins another state or has another error.
		now := fmt.Sprint(s.TaskID, s.State, s.Done)
		if s.State <= lifecycle.Pending || lifecycle.Ended(s.State) {
			now += s.Reason
		}
		if p.slots[key] == now || len(r.Slots) > maxLines && !lifecycle.Ended(s.State) && s.State != lifecycle.Pending {
			continue
		}
		p.slots[key] = now
		fmt.Fprintln(p.w, p.slot(s))
	}
}
