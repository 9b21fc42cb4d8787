package containerd_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/muster/muster/integration/needs"
	"github.com/muster/muster/proto/id"
	"github.com/muster/muster/worker/executor"
	"github.com/muster/muster/worker/executor/containerd"
	"github.com/muster/muster/worker/executor/executortest"
	"github.com/muster/muster/worker/images"
	"github.com/muster/muster/worker/tasklog"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	logspb "github.com/muster/muster/proto/logs/v1"
)

// node is a real containerd with an executor over it.
type node struct {
	*containerd.Executor
	managed *containerd.Managed
	client  *client.Client
	images  *images.Store
	network *executortest.Network
	dir     string
	cgroup  string

	stopLogger func()
}

// scratch is a directory with a short path: sockets have at most 108 characters.
func scratch(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "rt-") //nolint:usetesting // the names of t.TempDir are too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("leftovers: %v", err)
		}
	})
	return dir
}

// startNode runs a containerd until the test ends, and checks that nothing is
// left of what ran on it.
func startNode(t testing.TB) *node {
	t.Helper()
	return startNodeOf(t, needs.Runtime(t))
}

// startNodeOf is startNode with the programs in the directory bin.
func startNodeOf(t testing.TB, bin string) *node {
	t.Helper()
	dir := scratch(t)
	managed, err := containerd.NewManaged(containerd.ManagedConfig{
		BinDir: bin, StateDir: filepath.Join(dir, "containerd"), RunDir: filepath.Join(dir, "run"),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- managed.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, managed.Stop(context.Background())); err != nil {
			t.Errorf("stop containerd: %v", err)
		}
		checkUnmounted(t, dir)
	})
	n := &node{managed: managed, network: &executortest.Network{}, dir: dir, cgroup: "/muster-test-" + filepath.Base(dir)}
	n.client, err = containerd.Connect(managed.Address(), containerd.Namespace)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.client.Close() })
	if err := containerd.Ready(ctx, n.client, 20*time.Second); err != nil {
		logged, _ := os.ReadFile(filepath.Join(dir, "containerd", "containerd.log"))
		t.Fatalf("%v\n%s", err, logged)
	}
	n.images = images.New(images.Config{Client: n.client, Namespace: containerd.Namespace})
	n.stopLogger = n.startLogger(t)
	n.open(t)
	t.Cleanup(func() { n.clean(t) })
	return n
}

// open makes the executor, as a daemon that starts anew does.
func (n *node) open(t testing.TB) {
	t.Helper()
	x, err := containerd.New(containerd.Config{
		Client:       n.client,
		StateDir:     filepath.Join(n.dir, "state"),
		RunDir:       filepath.Join(n.dir, "run"),
		CgroupParent: n.cgroup,
		ShimSocket:   n.managed.ShimSocket,
		NodeName:     "test",
		Network:      n.network,
		Images:       n.images,
		Init:         filepath.Join(needs.Runtime(t), "muster-init"),
	})
	if err != nil {
		t.Fatal(err)
	}
	n.Executor = x
}

// clean removes all tasks and checks that nothing is left of them.
func (n *node) clean(t testing.TB) {
	t.Helper()
	ctx := context.Background()
	found, err := n.List(ctx)
	if err != nil {
		t.Errorf("list: %v", err)
	}
	for _, f := range found {
		if err := n.Remove(ctx, f.TaskID); err != nil {
			t.Errorf("remove %s: %v", f.TaskID, err)
		}
	}
	if found, err := n.List(ctx); err != nil || len(found) != 0 {
		t.Errorf("left after removal: %v, %v", found, err)
	}
	if err := n.RemoveCgroups(); err != nil {
		t.Errorf("cgroups left: %v", err)
	}
	for _, dir := range []string{"s", "runc/muster"} {
		if left, err := os.ReadDir(filepath.Join(n.dir, "run", dir)); err != nil || len(left) > 0 {
			t.Errorf("sockets or notes of containers left in %s: %v, %v", dir, left, err)
		}
	}
	if shims := processes(n.dir); len(shims) != 0 {
		t.Errorf("processes left: %q", shims)
	}
}

// processes lists the shims of the containerd under dir.
func processes(dir string) (lines []string) {
	entries, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, e := range entries {
		raw, _ := os.ReadFile(e)
		line := string(bytes.ReplaceAll(raw, []byte{0}, []byte{' '}))
		if strings.Contains(line, "containerd-shim") && strings.Contains(line, dir) {
			lines = append(lines, line)
		}
	}
	return lines
}

func checkUnmounted(t testing.TB, dir string) {
	t.Helper()
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, dir) {
			t.Errorf("still mounted: %s", line)
		}
	}
}

// busybox loads an image of Debian's static busybox under name and returns its
// digest.
func (n *node) busybox(t testing.TB, image string, change ...func(*v1.Config)) {
	t.Helper()
	if _, err := n.images.Load(t.Context(), archive(t, image, change...), func(images.Progress) {}); err != nil {
		t.Fatal(err)
	}
}

// archive is a docker-archive with one image: busybox with all its applets.
func archive(t testing.TB, image string, change ...func(*v1.Config)) io.Reader {
	t.Helper()
	tag, err := name.NewTag(image)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := tarball.Write(tag, busyboxImage(t, change...), &b); err != nil {
		t.Fatal(err)
	}
	return &b
}

func busyboxImage(t testing.TB, change ...func(*v1.Config)) v1.Image {
	t.Helper()
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(busyboxLayer(t))), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", "amd64"
	file.Config = v1.Config{Cmd: []string{"sh"}, Env: []string{"FROM=image"}}
	for _, f := range change {
		f(&file.Config)
	}
	if img, err = mutate.ConfigFile(img, file); err != nil {
		t.Fatal(err)
	}
	return img
}

// busyboxLayer is a root file system of busybox, links for its applets, and
// the files of users.
func busyboxLayer(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(h tar.Header, content []byte) {
		h.Size = int64(len(content))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"bin", "etc", "proc", "sys", "dev", "tmp", "root"} {
		add(tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o1777}, nil)
	}
	program, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Skip("needs /bin/busybox: apt-get install busybox-static")
	}
	add(tar.Header{Typeflag: tar.TypeReg, Name: "bin/busybox", Mode: 0o755}, program)
	for applet := range strings.FieldsSeq("sh cat echo id sleep env pwd hostname ls dd head seq kill unshare mount grep wc true false test trap yes ulimit tail nc httpd stat touch readlink ip ps") {
		add(tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + applet, Linkname: "busybox"}, nil)
	}
	add(tar.Header{Typeflag: tar.TypeReg, Name: "etc/passwd", Mode: 0o644}, []byte("root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:web:/tmp:/bin/sh\n"))
	add(tar.Header{Typeflag: tar.TypeReg, Name: "etc/group", Mode: 0o644}, []byte("root:x:0:\nwww:x:34:\nlog:x:40:web\nwheel:x:10:root\n"))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// task is a task of image that runs a shell script.
func task(image, script string, change ...func(*clusterpb.TaskSpec)) *clusterpb.Task {
	spec := &clusterpb.TaskSpec{Containers: []*clusterpb.ContainerSpec{{
		Image: image, Command: []string{"/bin/sh", "-c"}, Args: []string{script},
	}}}
	for _, f := range change {
		f(spec)
	}
	return &clusterpb.Task{Id: id.New(), ServiceName: "web", Slot: 1, Spec: spec}
}

// run prepares and starts a task.
func (n *node) run(t testing.TB, task *clusterpb.Task) {
	t.Helper()
	if err := n.Prepare(t.Context(), executor.Request{Task: task}, func(string) {}); err != nil {
		t.Fatalf("prepare: %v", err)
	}
	if _, err := n.Start(t.Context(), task); err != nil {
		t.Fatalf("start: %v", err)
	}
}

// stop asks the task's process to end, if it is there.
func (n *node) stop(t *testing.T, task *clusterpb.Task) {
	t.Helper()
	if err := n.Signal(t.Context(), task); err != nil {
		t.Error(err)
	}
}

// wait returns how the task's process ended.
func (n *node) wait(t testing.TB, taskID string) executor.Exit {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 30*time.Second, fmt.Errorf("task %s did not end in time", taskID))
	defer cancel()
	exit, err := n.Wait(ctx, taskID)
	if err != nil {
		t.Fatalf("wait: %v", err)
	}
	return exit
}

// output runs a task to its end and returns what it printed.
func (n *node) output(t testing.TB, task *clusterpb.Task) string {
	t.Helper()
	n.run(t, task)
	n.wait(t, task.GetId())
	return n.logs(t, task.GetId())
}

// logs returns what a task has printed, once it has ended.
func (n *node) logs(t testing.TB, taskID string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var b strings.Builder
	r := &tasklog.Reader{StateDir: filepath.Join(n.dir, "state")}
	err := r.Read(ctx, taskID, &logspb.LogOptions{Tail: -1, Follow: true}, func(m *logspb.LogMessage) error {
		_, err := b.Write(m.GetData())
		return err
	})
	if err != nil || ctx.Err() != nil {
		t.Fatalf("read logs: %v, %v; so far %q", err, ctx.Err(), b.String())
	}
	return b.String()
}

// startLogger runs the node's logger until the test ends or stop is called.
func (n *node) startLogger(t testing.TB) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- tasklog.RunLogger(ctx, tasklog.Config{RunDir: filepath.Join(n.dir, "run"), StateDir: filepath.Join(n.dir, "state")})
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("logger: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// awaitLine waits until the task has printed line.
func (n *node) awaitLine(t testing.TB, taskID, line string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	errFound := errors.New("found")
	r := &tasklog.Reader{StateDir: filepath.Join(n.dir, "state")}
	err := r.Read(ctx, taskID, &logspb.LogOptions{Tail: -1, Follow: true}, func(m *logspb.LogMessage) error {
		if string(m.GetData()) == line {
			return errFound
		}
		return nil
	})
	if !errors.Is(err, errFound) {
		t.Fatalf("task %s did not print %q: %v, %v", taskID, line, err, ctx.Err())
	}
}
