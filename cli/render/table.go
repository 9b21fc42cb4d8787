package render

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"text/template/parse"

	"github.com/muster/muster/cli/command"
)

// Table describes a list: its columns from left to right.
type Table []Column

// Column is a field of a list.
type Column struct {
	// Field is its name in templates and JSON, Header its title.
	Field, Header string
	// Hidden fields are for templates and JSON only.
	Hidden bool
	// Cell is the template of the field in the default table; "{{.Field}}"
	// when unset.
	Cell string
}

// Row holds the fields of one line: strings, booleans, and Cells where people
// and programs want to read different things.
type Row map[string]any

// Cell is a field of which a table shows Shown, while JSON and templates have
// Value.
type Cell struct{ Value, Shown string }

// values is the row as programs read it: JSON, or a template of theirs.
func (r Row) values() map[string]any { return r.fields(func(c Cell) string { return c.Value }) }

// shown is the row as a table shows it, where a value has a line of its own.
func (r Row) shown() map[string]any {
	fields := r.fields(func(c Cell) string { return c.Shown })
	for field, value := range fields {
		if s, ok := value.(string); ok {
			fields[field] = command.Printable(s)
		}
	}
	return fields
}

func (r Row) fields(of func(Cell) string) map[string]any {
	fields := make(map[string]any, len(r))
	for name, v := range r {
		switch v := v.(type) {
		case Cell:
			fields[name] = of(v)
		case bool: // a condition of templates
			fields[name] = v
		default:
			fields[name] = fmt.Sprint(v)
		}
	}
	return fields
}

// Write writes rows as --format asks: "" or "table" for the default columns,
// "table TEMPLATE", "json" for one object a line, "raw" for one field a line, or
// a template for each row.
func (t Table) Write(w io.Writer, format string, rows []Row) error {
	if format == "json" {
		for _, row := range rows {
			b, err := marshal(row.values(), "")
			if err != nil {
				return fmt.Errorf("write JSON: %w", err)
			}
			if _, err := w.Write(b); err != nil {
				return err
			}
		}
		return nil
	}
	text, header := t.layout(format)
	tmpl, err := parseTemplate(text)
	if err != nil {
		return err
	}
	if err := t.check(format, tmpl.Root); err != nil {
		return err
	}
	tw := tabwriter.NewWriter(w, 10, 1, 3, ' ', 0)
	if header {
		rows = slices.Insert(slices.Clone(rows), 0, t.header())
	}
	for _, row := range rows {
		fields := row.values()
		if header {
			fields = row.shown()
		}
		var line strings.Builder
		if err := tmpl.Execute(&line, fields); err != nil {
			return command.Misusef("--format %q: %w", format, err)
		}
		fmt.Fprintln(tw, line.String())
	}
	return tw.Flush()
}

// Check reports a --format that Write would refuse, before any call is made.
func (t Table) Check(format string) error {
	if format == "json" {
		return nil
	}
	text, _ := t.layout(format)
	tmpl, err := parseTemplate(text)
	if err != nil {
		return err
	}
	return t.check(format, tmpl.Root)
}

// layout is the template of a line, and whether a header goes before.
func (t Table) layout(format string) (text string, header bool) {
	if format == "raw" {
		return t.raw(), false
	}
	rest, isTable := strings.CutPrefix(format, "table")
	if format != "" && !isTable {
		return format, false
	}
	if rest = strings.TrimSpace(rest); rest != "" {
		return rest, true
	}
	var cells []string
	for _, c := range t {
		if !c.Hidden {
			cells = append(cells, cmp.Or(c.Cell, "{{."+c.Field+"}}"))
		}
	}
	return strings.Join(cells, "\t"), true
}

// raw is the template of a row as "field: value" lines, with a blank one below.
func (t Table) raw() string {
	var b strings.Builder
	for _, c := range t {
		if !c.Hidden {
			fmt.Fprintf(&b, "%s: {{.%s}}\n", strings.ReplaceAll(strings.ToLower(c.Header), " ", "_"), c.Field)
		}
	}
	return b.String()
}

func (t Table) header() Row {
	row := make(Row, len(t))
	for _, c := range t {
		row[c.Field] = c.Header
	}
	return row
}

// check finds fields in a template that the list does not have.
func (t Table) check(format string, root parse.Node) error {
	if format != "table" && format != "raw" {
		if err := checkWord(format, `table, "table TEMPLATE", json, raw`); err != nil {
			return err
		}
	}
	var unknown string
	var visit func(parse.Node)
	visit = func(n parse.Node) {
		switch n := n.(type) {
		case *parse.ListNode:
			if n != nil {
				for _, child := range n.Nodes {
					visit(child)
				}
			}
		case *parse.ActionNode:
			visit(n.Pipe)
		case *parse.IfNode:
			visit(n.Pipe)
			visit(n.List)
			visit(n.ElseList)
		case *parse.WithNode: // in its list, the dot is no row
			visit(n.Pipe)
			visit(n.ElseList)
		case *parse.RangeNode:
			visit(n.Pipe)
			visit(n.ElseList)
		case *parse.PipeNode:
			for _, c := range n.Cmds {
				for _, arg := range c.Args {
					visit(arg)
				}
			}
		case *parse.FieldNode:
			if !slices.ContainsFunc(t, func(c Column) bool { return c.Field == n.Ident[0] }) {
				unknown = n.Ident[0]
			}
		}
	}
	visit(root)
	if unknown == "" {
		return nil
	}
	var names []string
	for _, c := range t {
		names = append(names, "."+c.Field)
	}
	return command.Misusef("--format %q: no field .%s; fields are %s", format, unknown, strings.Join(names, ", "))
}
