package service

import (
	"context"
	"fmt"
	"math"

	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/flags"
	"github.com/muster/muster/cli/login"
	"github.com/muster/muster/cli/noun"
	"github.com/muster/muster/cli/progress"
	"github.com/muster/muster/cli/service/edit"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/pod"
	"github.com/muster/muster/proto/spec"
)

type updateOptions struct {
	waitOptions
	edits        *edit.Edits
	service      string
	force        bool
	rollback     bool
	plan         bool
	ifVersion    uint64 // 0: whatever it is
	newImage     bool   // --image was given
	noResolve    bool
	registryAuth bool
}

func newUpdateCommand(env *command.Env) *cobra.Command {
	var opts updateOptions
	cmd := &cobra.Command{
		Use:   "update [OPTIONS] SERVICE",
		Short: "Change a service",
		Long: "Change a service and wait until the change is rolled out. Settings without a flag stay as they are.\n\n" +
			command.ExitHelp,
		Args: command.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.service, opts.newImage = args[0], cmd.Flags().Changed("image")
			return runUpdate(cmd.Context(), env, opts)
		},
	}
	fs := cmd.Flags()
	flags.On(fs, &opts.force, "force", "", "replace all tasks even if nothing changes")
	flags.On(fs, &opts.rollback, "rollback", "", "go back to the previous spec")
	flags.On(fs, &opts.plan, "plan", "", "show which fields and slots would change, and change nothing")
	version := flags.Int(1, math.MaxInt64)
	flags.Var(fs, "if-version", "", "update only if the service is at this version (Version.Index in \"service inspect\")", version,
		func(n int64) { opts.ifVersion = uint64(n) })
	flags.On(fs, &opts.noResolve, "no-resolve-image", "", "do not look up the image's digest")
	flags.On(fs, &opts.registryAuth, "with-registry-auth", "", "pass the registry login of this client on to the nodes")
	opts.addFlags(fs)
	opts.edits = edit.ForUpdate(fs, env.LookupEnv)
	return cmd
}

func (o updateOptions) check() error {
	switch {
	case o.rollback && (o.edits.Any() || o.force):
		return command.Misusef("--rollback takes the whole spec back and cannot be combined with other changes")
	case o.rollback && o.plan:
		return command.Misusef("--plan cannot be combined with --rollback; see \"muster service history\" for what a rollback goes to")
	case o.plan && o.detach:
		return command.Misusef("--plan changes nothing to be detached from: leave out --detach")
	}
	return o.edits.Check()
}

func runUpdate(ctx context.Context, env *command.Env, opts updateOptions) error {
	if err := opts.check(); err != nil {
		return err
	}
	if opts.rollback {
		return runRollback(ctx, env, rollbackOptions{waitOptions: opts.waitOptions, service: opts.service, ifVersion: opts.ifVersion})
	}
	conn, err := env.Control()
	if err != nil {
		return err
	}
	services := controlpb.NewServiceServiceClient(conn)
	var (
		before   *clusterpb.Service
		request  *controlpb.UpdateServiceRequest
		response *controlpb.UpdateServiceResponse
	)
	read := func() (*clusterpb.Service, error) { return getService(ctx, services, opts.service, opts.ifVersion) }
	write := func(svc *clusterpb.Service) (err error) {
		before = svc
		if request, err = updateRequest(ctx, env, svc, opts); err == nil {
			response, err = services.UpdateService(ctx, request)
		}
		return err
	}
	if opts.ifVersion != 0 { // who names a version wants no newer one
		err = noun.Once(read, write)
	} else {
		err = noun.Update(ctx, read, write)
	}
	if err != nil {
		return err
	}
	warn(env, response.GetWarnings())
	if opts.plan {
		return showPlan(ctx, env, before, response)
	}
	fmt.Fprintln(env.Out, opts.service)
	return opts.wait(ctx, env, response.GetService(), progress.Goal{Before: before})
}

// updateRequest applies the flags to the spec of before.
func updateRequest(ctx context.Context, env *command.Env, before *clusterpb.Service, opts updateOptions) (*controlpb.UpdateServiceRequest, error) {
	s := proto.CloneOf(before.GetSpec())
	opts.edits.Apply(s)
	if err := spec.ValidateService(s); err != nil {
		return nil, err
	}
	if opts.registryAuth {
		auth, err := login.For(ctx, env.Getenv, pod.Main(s.GetTask()).GetImage(), env.Warn)
		if err != nil {
			return nil, err
		}
		pod.Main(s.GetTask()).RegistryAuth = auth
	}
	return &controlpb.UpdateServiceRequest{
		Service: before.GetId(),
		Version: before.GetVersion(),
		Spec:    s,
		Resolve: resolveImages(opts.newImage, opts.noResolve),
		Plan:    opts.plan,
		Force:   opts.force,
	}, nil
}

// getService reads a service; wantVersion is the version it must have, or 0.
func getService(ctx context.Context, services controlpb.ServiceServiceClient, name string, wantVersion uint64) (*clusterpb.Service, error) {
	response, err := services.GetService(ctx, &controlpb.GetServiceRequest{Service: name})
	if err != nil {
		return nil, err
	}
	svc := response.GetService()
	if wantVersion != 0 && svc.GetVersion() != wantVersion {
		return nil, fmt.Errorf("service %s is at version %d, not %d: it has changed since: %w", name, svc.GetVersion(), wantVersion, errdefs.ErrFailedPrecondition)
	}
	return svc, nil
}
