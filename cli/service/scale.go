package service

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/flags"
	"github.com/muster/muster/cli/noun"
	"github.com/muster/muster/cli/progress"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
)

type scaleOptions struct {
	waitOptions
	targets []scaleTarget
}

type scaleTarget struct {
	service  string
	replicas uint32
}

func newScaleCommand(env *command.Env) *cobra.Command {
	var opts scaleOptions
	cmd := &cobra.Command{
		Use:   "scale [OPTIONS] SERVICE=REPLICAS [SERVICE=REPLICAS...]",
		Short: "Set the number of replicas of services",
		Long:  "Set the number of replicas of services and wait until they run.\n\n" + command.ExitHelp,
		Args:  command.MinArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if opts.targets, err = parseTargets(args); err != nil {
				return err
			}
			return runScale(cmd.Context(), env, opts)
		},
	}
	opts.addFlags(cmd.Flags())
	return cmd
}

func runScale(ctx context.Context, env *command.Env, opts scaleOptions) error {
	conn, err := env.Control()
	if err != nil {
		return err
	}
	services := controlpb.NewServiceServiceClient(conn)
	var scaled []*clusterpb.Service
	err = noun.ForEach(opts.targets, func(t scaleTarget) error {
		response, err := services.ScaleService(ctx, &controlpb.ScaleServiceRequest{Service: t.service, Replicas: t.replicas})
		if errdefs.IsNotFound(err) {
			return err // it names the service
		}
		if err != nil {
			return fmt.Errorf("%s: %w", t.service, err)
		}
		fmt.Fprintf(env.Out, "%s scaled to %d\n", t.service, t.replicas)
		scaled = append(scaled, response.GetService())
		return nil
	})
	return errors.Join(err, noun.ForEach(scaled, func(svc *clusterpb.Service) error {
		return opts.wait(ctx, env, svc, progress.Goal{Before: svc})
	}))
}

func parseTargets(args []string) (targets []scaleTarget, err error) {
	for _, arg := range args {
		name, n, _ := strings.Cut(arg, "=")
		replicas, err := flags.Count.Parse(n)
		if name == "" || err != nil {
			return nil, command.Misusef("%q: must be SERVICE=REPLICAS, with a whole number of replicas, 0 or more", arg)
		}
		targets = append(targets, scaleTarget{name, replicas})
	}
	return targets, nil
}
