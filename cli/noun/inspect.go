package noun

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/flags"
	"github.com/muster/muster/cli/render"
)

// Inspect is how objects of type T, which are read with a client C, are shown in
// detail.
type Inspect[C, T any] struct {
	// Connect returns the client.
	Connect func() (C, error)
	// Get reads an object by what the user calls it.
	Get func(ctx context.Context, client C, name string) (T, error)
	// Shape is the object as JSON and templates show it.
	Shape func(T) any
	// Pretty writes an object for people.
	Pretty func(w io.Writer, t T, now time.Time)
}

// Command completes cmd, which has its names, texts and arguments.
func (i Inspect[C, T]) Command(env *command.Env, cmd *cobra.Command) *cobra.Command {
	var (
		format string
		pretty bool
	)
	cmd.Flags().StringVarP(&format, "format", "f", "", `output format: json, pretty or a Go template`)
	flags.On(cmd.Flags(), &pretty, "pretty", "", "print a readable layout instead of JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if pretty && format != "" {
			return command.Misusef("--pretty and --format cannot be used together")
		}
		if pretty = pretty || format == "pretty"; !pretty {
			if err := render.CheckInspect(format, "json, pretty"); err != nil {
				return err
			}
		}
		client, err := i.Connect()
		if err != nil {
			return err
		}
		get := func(name string) (T, error) { return i.Get(cmd.Context(), client, name) }
		if pretty {
			return i.pretty(env, args, get)
		}
		return i.json(env, args, format, get)
	}
	return cmd
}

// pretty shows what there is, with a blank line between.
func (i Inspect[C, T]) pretty(env *command.Env, names []string, get func(string) (T, error)) error {
	shown := false
	return ForEach(names, func(name string) error {
		object, err := get(name)
		if err != nil {
			return err
		}
		if shown {
			fmt.Fprintln(env.Out)
		}
		shown = true
		i.Pretty(env.Out, object, env.Now())
		return nil
	})
}

// json shows what there is, as Docker does: an empty list when that is nothing.
func (i Inspect[C, T]) json(env *command.Env, names []string, format string, get func(string) (T, error)) error {
	var shapes []any
	err := ForEach(names, func(name string) error {
		object, err := get(name)
		if err == nil {
			shapes = append(shapes, i.Shape(object))
		}
		return err
	})
	return errors.Join(err, render.Inspect(env.Out, format, shapes))
}
