package daemon

import (
	"context"
	"errors"
	"net/netip"
	"path/filepath"

	"github.com/muster/muster/cli/daemon/node"
	"github.com/muster/muster/ingress"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/worker/describe"
	"github.com/muster/muster/worker/executor/containerd"
	"github.com/muster/muster/worker/tasklog"
	"github.com/muster/muster/worker/trouble"
)

// machine takes this machine into a member's service.
func (r *runtime) machine(applied func(index uint64)) (*node.Machine, error) {
	plane := ingress.New(ingress.Config{
		TaskDir: filepath.Join(r.cfg.RunDir, "netns"), Applied: applied, Log: r.log.With("part", "ingress"),
	})
	first, err := initProgram(r.cfg)
	if err != nil {
		return nil, err
	}
	cfg := containerd.Config{
		Client:       r.client,
		StateDir:     r.cfg.StateDir,
		RunDir:       r.cfg.RunDir,
		CgroupParent: r.cfg.CgroupParent,
		NodeName:     r.cfg.Name,
		Network:      network{plane},
		Images:       r.images,
		Init:         first,
		Log:          r.log.With("part", "executor"),
	}
	if r.managed != nil {
		cfg.ShimSocket = r.managed.ShimSocket
	}
	x, err := containerd.New(cfg)
	if err != nil {
		return nil, err
	}
	return &node.Machine{
		Plane:    plane,
		Executor: x,
		Images:   r.images,
		Logs:     &tasklog.Reader{StateDir: r.cfg.StateDir},
		Describe: r.describe,
		Troubles: trouble.New(r.log.With("part", "trouble"), r.checks(plane, x)...),
		Run:      r.runLogger,
		Release:  func(ctx context.Context) error { return r.release(ctx, x) },
	}, nil
}

func (r *runtime) describe(ctx context.Context, given describe.Given) (*clusterpb.NodeDescription, error) {
	given.ContainerdVersion = r.version(ctx)
	underlay, _ := netip.ParseAddr(given.DataAddr) // one that is not valid is no device's
	addrs, err := ingress.NodeAddrs(underlay)
	if err != nil {
		return nil, err
	}
	for _, a := range addrs {
		given.Addresses = append(given.Addresses, a.String())
	}
	return describe.Node(given)
}

// release frees what only containers need. containerd stays: it also keeps the
// images.
func (r *runtime) release(ctx context.Context, x *containerd.Executor) error {
	return errors.Join(x.RemoveCgroups(), r.stopIdleLogger(ctx))
}
