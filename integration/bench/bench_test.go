package bench

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"
	"github.com/moby/profiles/seccomp"

	"github.com/muster/muster/integration/nodes"
	"github.com/muster/muster/integration/nodes/fleet"
	"github.com/muster/muster/integration/pack"
)

// rounds is how often each thing is measured; the median counts.
const rounds = 3

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// timed runs f and returns how long it took.
func timed(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}

func report(b *testing.B, name string, took []time.Duration) {
	b.Helper()
	b.Logf("%s: %v", name, took)
	b.ReportMetric(median(took).Seconds(), name)
}

// gone waits until no node runs an nginx any more, nor the shim of one: what is
// measured next should not pay for the end of what was before.
func gone(b *testing.B, c *fleet.Fleet) {
	b.Helper()
	c.Eventually("the containers to be gone", fleet.Converge, func() error {
		for node, pids := range c.PIDs(nginx) {
			if len(pids) > 0 {
				return fmt.Errorf("%s has %v", node, pids)
			}
		}
		for _, node := range c.Nodes {
			if shim, err := node.Process("containerd-shim-runc-v2"); err == nil {
				return fmt.Errorf("%s has %s", node.Name, shim)
			}
		}
		return nil
	})
}

const nginx = "nginx: master"

// BenchmarkThirtyReplicas creates and updates 30 replicas on three nodes that
// have the image, then loses a node.
func BenchmarkThirtyReplicas(b *testing.B) {
	c := fleet.Start(b, 3, 3)
	c.Load(pack.Nginx("nginx:latest"))
	first := c.Nodes[0]
	create := []string{
		"service", "create", "-q", "--replicas", "30", "--name", "web", "-p", "8111:80",
		"--update-monitor", "0s", "--update-parallelism", "10", "--drain-timeout", "0s", "nginx:latest",
	}
	var created, updated, replaced []time.Duration
	for i := range rounds {
		if i > 0 {
			first.MustMuster("service", "rm", "web")
			gone(b, c)
		}
		created = append(created, timed(func() { first.MustMuster(create...) }))
	}
	for i := range rounds {
		updated = append(updated, timed(func() {
			first.MustMuster("service", "update", "-q", "--env-add", fmt.Sprint("ROUND=", i), "web")
		}))
	}
	for range rounds {
		last := c.Nodes[2]
		replaced = append(replaced, timed(func() {
			last.Kill()
			c.AwaitRunning("web", 30, last)
		}))
		last.Start()
		c.AwaitReady(3)
		first.MustMuster("service", "scale", "-d", "web=15")
		c.AwaitRunning("web", 15)
		first.MustMuster("service", "scale", "-d", "web=30")
		c.AwaitRunning("web", 30)
	}
	report(b, "create-s", created)
	report(b, "update-s", updated)
	report(b, "node-loss-s", replaced)
}

// BenchmarkHundredOnOne starts 100 containers on one node, in turns through
// muster, with its containerd alone, and with that and moby's seccomp profile,
// as Docker does. It tells where the cores' time goes.
func BenchmarkHundredOnOne(b *testing.B) {
	const n = 100
	c := fleet.Start(b, 1, 1)
	c.Load(pack.Nginx("nginx:latest"))
	first := c.Nodes[0]
	loadAlone(b, first, pack.Nginx("nginx:latest"))
	contenders := []struct {
		name  string
		start func() (took time.Duration, remove func())
		took  []time.Duration
		use   busy
	}{
		{name: "muster", start: func() (time.Duration, func()) {
			took := timed(func() {
				first.MustMuster("service", "create", "-q", "--replicas", fmt.Sprint(n), "--name", "many", "--update-monitor", "0s", "nginx:latest")
			})
			return took, func() { first.MustMuster("service", "rm", "many") }
		}},
		{name: "containerd", start: func() (time.Duration, func()) { return containerdAlone(b, first, n) }},
		{name: "containerd+seccomp", start: func() (time.Duration, func()) { return containerdAlone(b, first, n, filtered) }},
	}
	for range rounds {
		for i := range contenders {
			one := &contenders[i]
			var remove func()
			one.use.use(b, first, func() {
				var took time.Duration
				took, remove = one.start()
				one.took = append(one.took, took)
			})
			remove()
			gone(b, c)
		}
	}
	ours := median(contenders[0].took)
	for _, one := range contenders {
		one.use.log(b, one.name)
		report(b, one.name+"-s", one.took)
	}
	for _, one := range contenders[1:] {
		b.ReportMetric(100*median(one.took).Seconds()/ours.Seconds(), "%-of-"+one.name)
	}
}

// filtered adds moby's seccomp profile, as Docker's containers have.
func filtered(_ context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) (err error) {
	s.Linux.Seccomp, err = seccomp.GetDefaultProfile(s)
	return err
}

// alone is the containerd namespace of what muster does not run: the daemon ends
// what it finds in its own and was never asked for.
const alone = "alone"

// loadAlone gives containerd an image for containers that muster does not run.
func loadAlone(b *testing.B, node *nodes.Node, image pack.Image) {
	b.Helper()
	path, err := pack.Debian(b.Context(), pack.DefaultCache(), image)
	if err != nil {
		b.Fatal(err)
	}
	archive, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer archive.Close()
	cl, ctx := containerdOf(b, node)
	defer cl.Close()
	images, err := cl.Import(ctx, archive)
	if err != nil {
		b.Fatal(err)
	}
	for _, i := range images {
		if err := client.NewImage(cl, i).Unpack(ctx, ""); err != nil {
			b.Fatal(err)
		}
	}
}

// containerdOf is a client of the node's containerd.
func containerdOf(b *testing.B, node *nodes.Node) (*client.Client, context.Context) {
	b.Helper()
	cl, err := client.New(node.RunDir() + "/containerd/containerd.sock")
	if err != nil {
		b.Fatal(err)
	}
	return cl, namespaces.WithNamespace(context.Background(), alone)
}

// containerdAlone starts n containers with nothing but containerd, as many at
// a time as it does best with here. remove removes them again, and what there
// is of one that did not start.
func containerdAlone(b *testing.B, node *nodes.Node, n int, opts ...oci.SpecOpts) (took time.Duration, remove func()) {
	b.Helper()
	cl, ctx := containerdOf(b, node)
	image, err := cl.GetImage(ctx, "docker.io/library/nginx:latest")
	if err != nil {
		b.Fatal(err)
	}
	const parallel = 4
	made := make(chan client.Container, n)
	slots := make(chan struct{}, parallel)
	began := time.Now()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			id := fmt.Sprintf("alone-%d", i)
			spec := client.WithNewSpec(append([]oci.SpecOpts{oci.WithImageConfig(image), oci.WithCgroup(node.Cgroup() + "/" + id)}, opts...)...)
			container, err := cl.NewContainer(ctx, id, client.WithNewSnapshot(id, image), spec)
			if err != nil {
				b.Errorf("make %s: %v", id, err)
				return
			}
			made <- container
			task, err := container.NewTask(ctx, cio.NullIO)
			if err == nil {
				err = task.Start(ctx)
			}
			if err != nil {
				b.Errorf("start %s: %v", id, err)
			}
		})
	}
	wg.Wait()
	took = time.Since(began)
	close(made)
	return took, func() {
		defer cl.Close()
		for container := range made {
			removeAlone(ctx, b, container)
		}
	}
}

// removeAlone removes a container, and its task if it has one.
func removeAlone(ctx context.Context, b *testing.B, container client.Container) {
	b.Helper()
	task, err := container.Task(ctx, nil)
	if err == nil {
		_, err = task.Delete(ctx, client.WithProcessKill)
	}
	if err != nil && !errdefs.IsNotFound(err) {
		b.Errorf("end %s: %v", container.ID(), err)
	}
	if err := container.Delete(ctx, client.WithSnapshotCleanup); err != nil {
		b.Errorf("remove %s: %v", container.ID(), err)
	}
}

// BenchmarkMesh requests a replica through the published port and by its own
// address, in turns, from the node in front of it.
func BenchmarkMesh(b *testing.B) {
	c := fleet.Start(b, 2, 1)
	c.Load(pack.Nginx("nginx:latest"))
	first := c.Nodes[0]
	for i, where := range []string{"local", "remote"} {
		port := 8111 + i
		first.MustMuster("service", "create", "-q", "--name", where, "-p", fmt.Sprintf("%d:80", port),
			"--constraint", "node.hostname=="+c.Nodes[i].Name, "--update-monitor", "0s", "nginx:latest")
		direct := "http://" + taskAddr(b, c, c.Nodes[i]) + ":80/quiet"
		mesh := fmt.Sprintf("http://%s:%d/quiet", first.Addr, port)
		for kind, header := range map[string]string{"kept-alive": "Connection: keep-alive", "each": "Connection: close"} {
			var ratios []float64
			for range rounds + 2 {
				through, to := wrk(b, first, header, mesh), wrk(b, first, header, direct)
				b.Logf("%s, %s: %.0f/s through the port, %.0f/s to the address", where, kind, through, to)
				ratios = append(ratios, 100*through/to)
			}
			slices.Sort(ratios)
			b.ReportMetric(ratios[len(ratios)/2], "%-"+where+"-"+kind)
		}
	}
}

// taskAddr is the address of the one task on the node.
func taskAddr(b *testing.B, c *fleet.Fleet, node *nodes.Node) string {
	b.Helper()
	pids := c.PIDs(nginx)[node.Name]
	if len(pids) != 1 {
		b.Fatalf("%s runs %v", node.Name, pids)
	}
	out, err := node.Output(b.Context(), "nsenter", "-t", strconv.Itoa(pids[0]), "-n", "ip", "-o", "-4", "addr", "show", "eth0")
	if err != nil {
		b.Fatal(err)
	}
	addr, _, _ := strings.Cut(strings.Fields(out)[3], "/")
	return addr
}

var perSecond = regexp.MustCompile(`Requests/sec:\s+([0-9.]+)`)

// wrk returns the requests per second of eight connections for two seconds.
func wrk(b *testing.B, from *nodes.Node, header, url string) float64 {
	b.Helper()
	out, err := from.Output(b.Context(), "wrk", "-t1", "-c8", "-d2s", "-H", header, url)
	if err != nil {
		b.Fatal(err)
	}
	m := perSecond.FindStringSubmatch(out)
	if m == nil {
		b.Fatalf("wrk printed\n%s", out)
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// BenchmarkIdleMemory looks at a node that is manager and worker after it ran
// some containers.
func BenchmarkIdleMemory(b *testing.B) {
	c := fleet.Start(b, 3, 3)
	c.Load(pack.Nginx("nginx:latest"))
	first := c.Nodes[0]
	first.MustMuster("service", "create", "-q", "--replicas", "9", "--name", "web", "-p", "8111:80", "--update-monitor", "0s", "nginx:latest")
	first.MustMuster("service", "rm", "web")
	gone(b, c)
	// Idle is what it is after a while, as an operator sees it.
	time.Sleep(20 * time.Second)
	for name, args := range map[string][]string{"muster": {"daemon"}, "containerd": nil} {
		p, err := first.Process(name, args...)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(rss(b, p.PID), name+"-MB")
	}
}

// rss is the resident memory of a process in MB.
func rss(b *testing.B, pid int) float64 {
	b.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmRSS:" {
			kb, err := strconv.ParseFloat(f[1], 64)
			if err != nil {
				b.Fatal(err)
			}
			return kb * 1024 / 1e6
		}
	}
	b.Fatalf("process %d has no VmRSS", pid)
	return 0
}
