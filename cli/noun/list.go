package noun

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/flags"
	"github.com/muster/muster/cli/render"
)

// List is how objects of type T are listed, which are found with a client C.
type List[C, T any] struct {
	// Connect returns the client.
	Connect func() (C, error)
	// Table is what is shown. A list whose table has an ID also has --quiet.
	Table func() render.Table
	// Filters are the keys of --filter; the flag is there when there are any.
	Filters []Filter[T]
	// Find returns the objects that the arguments name. A list that it returns
	// together with an error is shown before the error, even an empty one.
	Find func(ctx context.Context, client C, args []string, filters render.Filters) ([]T, error)
	// Compare orders the objects; nil leaves them as they were found.
	Compare func(a, b T) int
	// Rows are the lines of the objects. See Each for one line an object.
	Rows func([]T) []render.Row
	// Notes are lines to read below the table, as errors; it may be nil.
	Notes func([]T) []string
}

// Command completes cmd, which has its names, texts and arguments, and any
// flags of its own.
func (l List[C, T]) Command(env *command.Env, cmd *cobra.Command) *cobra.Command {
	var (
		filters render.Filters
		format  string
		quiet   bool
	)
	fs := cmd.Flags()
	if len(l.Filters) > 0 {
		filters = flag(fs, l.Filters)
	}
	fs.StringVar(&format, "format", "", `output format: table, "table TEMPLATE", json, raw or a Go template`)
	if slices.ContainsFunc(l.Table(), func(c render.Column) bool { return c.Field == "ID" }) {
		flags.On(fs, &quiet, "quiet", "q", "show only IDs")
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := check(l.Filters, filters); err != nil {
			return err
		}
		if err := l.Table().Check(format); err != nil {
			return err
		}
		if quiet {
			format = "{{.ID}}"
		}
		return l.run(cmd.Context(), env, args, filters, format)
	}
	return cmd
}

func (l List[C, T]) run(ctx context.Context, env *command.Env, args []string, filters render.Filters, format string) error {
	client, err := l.Connect()
	if err != nil {
		return err
	}
	found, err := l.Find(ctx, client, args, filters)
	if err != nil && found == nil {
		return err
	}
	found = slices.DeleteFunc(found, func(t T) bool { return !selected(l.Filters, filters, t) })
	if l.Compare != nil {
		slices.SortFunc(found, l.Compare)
	}
	err = errors.Join(err, l.Table().Write(env.Out, format, l.Rows(found)))
	if l.Notes != nil && format == "" {
		for _, note := range l.Notes(found) {
			fmt.Fprintln(env.Err, note)
		}
	}
	return err
}

// Each makes the rows of a list whose objects have a line each.
func Each[T any](row func(T) render.Row) func([]T) []render.Row {
	return func(list []T) (rows []render.Row) {
		for _, t := range list {
			rows = append(rows, row(t))
		}
		return rows
	}
}
