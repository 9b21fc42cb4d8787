package containerd

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/muster/muster/worker/executor"
	"github.com/muster/muster/worker/images"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/constraint"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/pod"
	"github.com/muster/muster/proto/spec"
	"github.com/muster/muster/proto/template"
)

// rootLabel keeps a snapshot from being collected before its container
// exists; containerd reads it. A lease would cost two more writes a task.
const rootLabel = "containerd.io/gc.root"

// maxLabel is containerd's limit for a key and its value.
const maxLabel = 4096

// Prepare implements executor.Executor.
func (x *Executor) Prepare(ctx context.Context, r executor.Request, progress func(message string)) error {
	ctx = x.inNamespace(ctx)
	t := r.Task
	err := retried(ctx, func() error {
		_, err := x.containers().Get(ctx, t.GetId())
		return err
	})
	if err == nil {
		return nil
	}
	if !errdefs.IsNotFound(err) {
		return fmt.Errorf("look for the container: %w", err)
	}
	img, err := x.ensureImage(ctx, r, progress)
	if err != nil {
		return err
	}
	release, err := x.acquire(ctx)
	if err != nil {
		return err
	}
	defer release()
	err = x.create(ctx, t, img)
	if errdefs.IsNotFound(err) {
		// The image's snapshot was removed behind the store's back.
		x.cfg.Images.Forget(img)
		if img, err = x.ensureImage(ctx, r, progress); err != nil {
			return err
		}
		err = x.create(ctx, t, img)
	}
	return err
}

func (x *Executor) ensureImage(ctx context.Context, r executor.Request, progress func(string)) (*images.Image, error) {
	name := image(r.Task)
	auth := pod.Main(r.Task.GetSpec()).GetRegistryAuth()
	return x.cfg.Images.Ensure(ctx, name, source(r.Sources, name), auth, func(p images.Progress) { progress(describe(p)) })
}

// source returns where an image may be fetched from; the zero Source when no
// other node is known to hold it.
func source(sources []*dispatchpb.ImageSource, name string) images.Source {
	for _, s := range sources {
		if s.GetImage() == name {
			return images.Source{Digest: digest.Digest(s.GetDigest()), Addrs: s.GetAddrs(), Loaded: s.GetLoaded()}
		}
	}
	return images.Source{}
}

// describe says in a few words how far an image is.
func describe(p images.Progress) string {
	switch {
	case p.Stage == "fetching" && p.Total > 0:
		return fmt.Sprintf("pulling image %d %%", min(100, 100*p.Done/p.Total))
	case p.Stage == "unpacking":
		return "unpacking image"
	default:
		return "pulling image"
	}
}

// create makes network namespace, snapshot, files and container. Each step may
// have been done before.
func (x *Executor) create(ctx context.Context, t *clusterpb.Task, img *images.Image) error {
	netns, err := x.cfg.Network.Attach(ctx, t.GetId(), t.GetAttachments())
	if err != nil {
		return fmt.Errorf("attach network: %w", err)
	}
	if err := x.snapshot(ctx, t.GetId(), img.ChainID); err != nil {
		return err
	}
	runs, err := x.spec(ctx, t, img, netns)
	if err != nil {
		return err
	}
	raw, err := typeurl.MarshalAny(runs)
	if err != nil {
		return fmt.Errorf("encode OCI spec: %w", err)
	}
	check, err := rememberedCheck(t, img)
	if err != nil {
		return err
	}
	err = retried(ctx, func() error {
		_, err := x.containers().Create(ctx, containers.Container{
			ID:          t.GetId(),
			Labels:      x.labels(t, img),
			Extensions:  map[string]typeurl.Any{checkExtension: check},
			Image:       img.Name,
			Runtime:     containers.RuntimeInfo{Name: runtimeName},
			Spec:        raw,
			SnapshotKey: t.GetId(),
			Snapshotter: x.cfg.Snapshotter,
		})
		return err
	})
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return fmt.Errorf("create container: %w", err)
	}
	return nil
}

func (x *Executor) snapshot(ctx context.Context, key, parent string) error {
	err := retried(ctx, func() error {
		_, err := x.snapshots().Prepare(ctx, key, parent, snapshots.WithLabels(map[string]string{
			rootLabel: time.Now().UTC().Format(time.RFC3339),
		}))
		return err
	})
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return fmt.Errorf("make root file system: %w", err)
	}
	return nil
}

func (x *Executor) spec(ctx context.Context, t *clusterpb.Task, img *images.Image, netns string) (*specs.Spec, error) {
	t, err := spec.Expand(t, template.Node{
		Hostname: x.cfg.NodeName, Platform: template.Platform{OS: runtime.GOOS, Architecture: constraint.Uname(runtime.GOARCH)},
	})
	if err != nil {
		return nil, err
	}
	c := pod.Main(t.GetSpec())
	name := c.GetUser()
	if name == "" {
		name = img.Config.User
	}
	user, err := x.user(ctx, img.ChainID, t.GetId(), name, c.GetGroups())
	if err != nil {
		return nil, err
	}
	mounts, err := x.volumes(ctx, t.GetId(), img)
	if err != nil {
		return nil, err
	}
	files, err := x.writeFiles(t)
	if err != nil {
		return nil, err
	}
	return recipe{
		task: t, image: img, host: x.host, user: user, netns: netns, cgroup: x.cgroup(t.GetId()),
		mounts: append(mounts, files...), init: x.cfg.Init,
	}.spec(ctx)
}

// labels are the image's, the spec's and muster's own; later ones win. What is
// too long for containerd, or has no name, stays out, and so does what would steer
// containerd's own collection of garbage.
func (x *Executor) labels(t *clusterpb.Task, img *images.Image) map[string]string {
	all := maps.Clone(img.Config.Labels)
	if all == nil {
		all = make(map[string]string)
	}
	maps.Copy(all, pod.Main(t.GetSpec()).GetLabels())
	maps.DeleteFunc(all, func(k, v string) bool {
		return k == "" || len(k)+len(v) > maxLabel || strings.HasPrefix(k, "containerd.io/")
	})
	stop := pod.Main(t.GetSpec()).GetStopSignal()
	if stop == "" {
		stop = img.Config.StopSignal
	}
	maps.Copy(all, map[string]string{
		taskLabel:       t.GetId(),
		serviceLabel:    t.GetServiceName(),
		nodeLabel:       x.cfg.NodeName,
		stopSignalLabel: stop,
	})
	return all
}
