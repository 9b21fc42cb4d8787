package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/flags"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/image"
)

type loadOptions struct {
	input string
	quiet bool
}

func newLoadCommand(env *command.Env) *cobra.Command {
	var opts loadOptions
	cmd := &cobra.Command{
		Use:   "load [OPTIONS] [FILE|-]",
		Short: "Load images from a tar archive",
		Long: "Load images into this node from a tar archive, as \"docker save\" or OCI tools write it.\n" +
			"Other nodes fetch them from here when a task needs them.",
		Args: command.MaxArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveDefault // a file
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				if opts.input != "" && opts.input != args[0] {
					return command.Misusef("--input %q and the argument %q name two files", opts.input, args[0])
				}
				opts.input = args[0]
			}
			return runLoad(cmd.Context(), env, opts)
		},
	}
	cmd.Flags().StringVarP(&opts.input, "input", "i", "", "file to read, - for standard input (default standard input)")
	flags.On(cmd.Flags(), &opts.quiet, "quiet", "q", "suppress progress output")
	return cmd
}

func runLoad(ctx context.Context, env *command.Env, opts loadOptions) error {
	in := env.In
	if opts.input != "" && opts.input != "-" {
		f, err := open(opts.input)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	} else if f, ok := in.(*os.File); ok && isTerminal(f) {
		return command.Misusef("standard input is a terminal: name a file, or pipe one in")
	}
	node, err := env.Images()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stream, err := node.LoadImage(ctx)
	if err != nil {
		return err
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		if err := send(stream, in); err != nil {
			cancel(err) // the node would wait for the rest
		}
	}()
	images, err := watch(env, opts.quiet, func() (*controlpb.ImageProgress, error) {
		r, err := stream.Recv()
		return r.GetProgress(), err
	})
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		// The sender may be reading standard input, which cannot be stopped.
		return fmt.Errorf("load image: %w", err)
	}
	<-sent // whoever writes to standard input is read to the end
	for _, i := range images {
		fmt.Fprintf(env.Out, "Loaded image: %s\n", image.Familiar(i.GetName()))
	}
	return nil
}

// open opens an archive to read.
func open(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, command.Misusef("load image: %w", err)
	}
	if info, err := f.Stat(); err == nil && info.IsDir() {
		_ = f.Close()
		return nil, command.Misusef("load image: %s is a directory: name a tar archive, such as \"docker save\" writes", path)
	}
	return f, nil
}

// chunk is how much of a file goes into one message.
const chunk = 256 << 10

// send passes on what in holds.
func send(stream grpc.BidiStreamingClient[controlpb.LoadImageRequest, controlpb.LoadImageResponse], in io.Reader) error {
	buffer := make([]byte, chunk)
	for {
		n, err := io.ReadFull(in, buffer)
		if n > 0 {
			if err := stream.Send(&controlpb.LoadImageRequest{Data: buffer[:n]}); err != nil {
				return nil //nolint:nilerr // the answer says why the node stopped reading
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return stream.CloseSend()
		}
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
	}
}
