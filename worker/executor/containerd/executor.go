package containerd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/grpc/status"

	"github.com/muster/muster/worker/executor"
	"github.com/muster/muster/worker/images"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/pod"
)

// runtimeName is containerd's shim for runc.
const runtimeName = "io.containerd.runc.v2"

// Labels of the containers that muster makes.
const (
	taskLabel       = "io.muster.task"
	serviceLabel    = "io.muster.service"
	nodeLabel       = "io.muster.node"
	stopSignalLabel = "io.muster.stop-signal"
)

// Images gives images that are ready to run; images.Store implements it.
type Images interface {
	Ensure(ctx context.Context, name string, source images.Source, auth string,
		progress func(images.Progress)) (*images.Image, error)
	Forget(*images.Image)
}

// Config of an Executor.
type Config struct {
	// Client is connected to the node's containerd; see Connect.
	Client *client.Client
	// Namespace of containerd; "muster" when empty.
	Namespace string
	// Snapshotter makes root file systems; "overlayfs" when empty.
	Snapshotter string
	// StateDir keeps what must survive a restart of the machine: hosts files
	// and logs. RunDir keeps what must not: the pipes of the logger.
	StateDir string
	RunDir   string
	// CgroupParent is the cgroup that tasks are put under, such as
	// "/muster/NODE".
	CgroupParent string
	// ShimSocket is where the shim of a task listens; nil when that is not known.
	ShimSocket func(taskID string) string
	// NodeName is told to containers by a label.
	NodeName string
	// Network gives tasks their network namespaces.
	Network executor.Network
	Images  Images
	// Init is the program that is the first process of containers that ask for
	// one (worker/init); "" when this machine has none.
	Init string
	// Parallel is how many containers are started or freed at a time; twice
	// the number of cores when 0.
	Parallel int
	Log      *slog.Logger
}

// Executor runs tasks with containerd. Its methods may be called at the same
// time, for one task one after another.
type Executor struct {
	cfg  Config
	host host
	// slots bounds the work at hand: more starts at a time than the machine
	// has cores for only make each of them later.
	slots chan struct{}

	mu    sync.Mutex
	users map[userKey]specs.User
	// stale are the health checks of the daemon before, by task.
	stale map[string][]string
}

var (
	_ executor.Executor = (*Executor)(nil)
	_ executor.Prober   = (*Executor)(nil)
)

// New returns an executor over a containerd.
func New(cfg Config) (*Executor, error) {
	if cfg.Namespace == "" {
		cfg.Namespace = Namespace
	}
	if cfg.Snapshotter == "" {
		cfg.Snapshotter = "overlayfs"
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	host := inspectHost()
	if cfg.Parallel <= 0 {
		cfg.Parallel = 2 * host.cores
	}
	if !strings.HasPrefix(cfg.CgroupParent, "/") {
		return nil, fmt.Errorf("cgroup parent %q: want an absolute path such as /muster", cfg.CgroupParent)
	}
	for _, dir := range []string{cfg.StateDir, cfg.RunDir} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return nil, fmt.Errorf("make directory of the executor: %w", err)
		}
	}
	stale, err := staleExecs(cfg.RunDir)
	if err != nil {
		return nil, err
	}
	return &Executor{
		cfg:   cfg,
		host:  host,
		slots: make(chan struct{}, cfg.Parallel),
		users: make(map[userKey]specs.User),
		stale: stale,
	}, nil
}

// acquire takes one of the slots; the caller gives it back by calling release.
func (x *Executor) acquire(ctx context.Context) (release func(), err error) {
	select {
	case x.slots <- struct{}{}:
		return func() { <-x.slots }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (x *Executor) inNamespace(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, x.cfg.Namespace)
}

func (x *Executor) containers() containers.Store { return x.cfg.Client.ContainerService() }

func (x *Executor) tasks() tasks.TasksClient { return x.cfg.Client.TaskService() }

func (x *Executor) snapshots() snapshots.Snapshotter {
	return x.cfg.Client.SnapshotService(x.cfg.Snapshotter)
}

// taskDir holds the files that are bound into a task's container.
func (x *Executor) taskDir(taskID string) string {
	return filepath.Join(x.cfg.StateDir, "tasks", taskID)
}

// cgroup is the task's cgroup, relative to the mount of the hierarchy.
func (x *Executor) cgroup(taskID string) string {
	return filepath.Join(x.cfg.CgroupParent, taskID)
}

// native gives an error from gRPC its errdefs kind; others have theirs.
func native(err error) error {
	var fromGRPC interface{ GRPCStatus() *status.Status }
	if errors.As(err, &fromGRPC) {
		return errgrpc.ToNative(err)
	}
	return err
}

// image is the reference that the task's image is fetched by.
func image(t *clusterpb.Task) string { return pod.Image(t.GetSpec(), t.GetImages()) }
