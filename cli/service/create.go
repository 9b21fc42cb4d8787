package service

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/flags"
	"github.com/muster/muster/cli/login"
	"github.com/muster/muster/cli/progress"
	"github.com/muster/muster/cli/service/edit"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/pod"
	"github.com/muster/muster/proto/spec"
)

type createOptions struct {
	waitOptions
	edits        *edit.Edits
	name         string
	image        string
	args         []string
	noResolve    bool
	registryAuth bool
}

func newCreateCommand(env *command.Env) *cobra.Command {
	var opts createOptions
	cmd := &cobra.Command{
		Use:   "create [OPTIONS] IMAGE [COMMAND] [ARG...]",
		Short: "Create a service",
		Long: "Create a service and wait until it has converged. What a task writes is removed with it: there are no volumes yet that outlive a task.\n\n" +
			command.ExitHelp,
		Args: command.MinArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.image, opts.args = args[0], args[1:]
			if text := misplaced(cmd.Flags(), opts.args); text != "" {
				env.Warn(text)
			}
			return runCreate(cmd.Context(), env, opts)
		},
	}
	fs := cmd.Flags()
	fs.SetInterspersed(false) // flags behind IMAGE are the container's
	flags.Var(fs, "name", "", "service name (default a random one)", flags.Name, flags.Into(&opts.name))
	flags.On(fs, &opts.noResolve, "no-resolve-image", "", "use the image as written, without looking up its digest")
	flags.On(fs, &opts.registryAuth, "with-registry-auth", "", "pass the registry login of this client on to the nodes")
	opts.addFlags(fs)
	opts.edits = edit.ForCreate(fs, env.LookupEnv)
	return cmd
}

func runCreate(ctx context.Context, env *command.Env, opts createOptions) error {
	s, err := newSpec(ctx, env, opts)
	if err != nil {
		return err
	}
	conn, err := env.Control()
	if err != nil {
		return err
	}
	services := controlpb.NewServiceServiceClient(conn)
	request := &controlpb.CreateServiceRequest{Spec: s, Resolve: resolveImages(true, opts.noResolve)}
	response, err := services.CreateService(ctx, request)
	for tries := 0; opts.name == "" && errdefs.IsAlreadyExists(err) && tries < 10; tries++ {
		s.Name = randomName() // the last one was taken
		response, err = services.CreateService(ctx, request)
	}
	if err != nil {
		return err
	}
	warn(env, response.GetWarnings())
	fmt.Fprintln(env.Out, response.GetService().GetId())
	return opts.wait(ctx, env, response.GetService(), progress.Goal{})
}

// newSpec makes and checks the spec, before any call.
func newSpec(ctx context.Context, env *command.Env, opts createOptions) (*clusterpb.ServiceSpec, error) {
	if err := opts.edits.Check(); err != nil {
		return nil, err
	}
	image, err := flags.Image.Parse(opts.image)
	if err != nil {
		return nil, command.Misusef("image %q: %w", opts.image, err)
	}
	s := &clusterpb.ServiceSpec{
		Name: opts.name,
		Task: &clusterpb.TaskSpec{Containers: []*clusterpb.ContainerSpec{{Image: image, Args: opts.args}}},
		Mode: &clusterpb.ServiceSpec_Replicated{Replicated: &clusterpb.ReplicatedMode{Replicas: 1}},
	}
	if s.Name == "" {
		s.Name = randomName()
	}
	opts.edits.Apply(s)
	if err := spec.ValidateService(s); err != nil {
		return nil, err
	}
	if opts.registryAuth {
		if pod.Main(s.Task).RegistryAuth, err = login.For(ctx, env.Getenv, image, env.Warn); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// resolveImages says which images to ask about: all when the user names one, as
// its tag may have moved, or else those that the service does not have yet.
func resolveImages(named, never bool) controlpb.ResolveImages {
	switch {
	case never:
		return controlpb.ResolveImages_RESOLVE_IMAGES_NEVER
	case named:
		return controlpb.ResolveImages_RESOLVE_IMAGES_ALWAYS
	default:
		return controlpb.ResolveImages_RESOLVE_IMAGES_CHANGED
	}
}

// warn shows what a manager has to say about a call that went through.
func warn(env *command.Env, warnings []string) {
	for _, w := range warnings {
		env.Warn(w)
	}
}
