package containerd_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/muster/muster/worker/executor"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/pod"
)

const box = "busybox:1"

func container(f func(*clusterpb.ContainerSpec)) func(*clusterpb.TaskSpec) {
	return func(s *clusterpb.TaskSpec) { f(pod.Main(s)) }
}

// TestInside looks at what the process of a task sees.
func TestInside(t *testing.T) {
	n := startNode(t)
	n.busybox(t, box, func(c *v1.Config) { c.WorkingDir = "/tmp" })
	tests := map[string]struct {
		script string
		change func(*clusterpb.TaskSpec)
		want   string
	}{
		"environment": {
			script: "echo $FROM $TO $PATH; hostname; echo $HOSTNAME",
			change: func(s *clusterpb.TaskSpec) { pod.Main(s).Env, s.Hostname = []string{"TO=spec"}, "box" },
			want:   "image spec /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nbox\nbox\n",
		},
		"templates": {
			script: "echo $WHERE $WHAT; hostname; cat /etc/hostname; grep -o 'web-1' /etc/hosts; echo $HOSTNAME",
			change: func(s *clusterpb.TaskSpec) {
				pod.Main(s).Env = []string{"WHERE={{.Node.Hostname}}/{{.Node.Platform.OS}}", `WHAT={{if eq .Task.Slot "1"}}first{{end}}`}
				s.Hostname = "{{.Service.Name}}-{{.Task.Slot}}"
			},
			want: "test/linux first\nweb-1\nweb-1\nweb-1\nweb-1\n",
		},
		"root is in its groups": {script: "id", want: "uid=0(root) gid=0(root) groups=0(root),10(wheel)\n"},
		"user by name": {
			script: "id",
			change: container(func(c *clusterpb.ContainerSpec) { c.User = "web" }),
			want:   "uid=33(web) gid=34(www) groups=34(www),40(log)\n",
		},
		"user by number, and a group": {
			script: "id -u; id -G",
			change: container(func(c *clusterpb.ContainerSpec) { c.User, c.Groups = "1234:5", []string{"log"} }),
			want:   "1234\n5 40\n",
		},
		"working directory of the image": {script: "pwd", want: "/tmp\n"},
		"working directory of the spec, made when missing": {
			script: "pwd",
			change: container(func(c *clusterpb.ContainerSpec) { c.Dir = "/srv/app" }),
			want:   "/srv/app\n",
		},
		"read-only": {
			script: "touch /x 2>&1; echo ok > /dev/shm/x && cat /dev/shm/x",
			change: container(func(c *clusterpb.ContainerSpec) { c.ReadOnly = true }),
			want:   "touch: /x: Read-only file system\nok\n",
		},
		"terminal": {
			script: "test -t 1 && echo yes; echo $TERM",
			change: container(func(c *clusterpb.ContainerSpec) { c.Tty = true }),
			want:   "yes\r\nxterm\r\n",
		},
		"default capabilities": {script: "grep CapEff /proc/self/status", want: "CapEff:\t00000000a80425fb\n"},
		"no capabilities but one": {
			script: "grep CapEff /proc/self/status",
			change: container(func(c *clusterpb.ContainerSpec) { c.CapDrop, c.CapAdd = []string{"all"}, []string{"net_admin"} }),
			want:   "CapEff:\t0000000000001000\n",
		},
		"none for others than root": {
			script: "grep CapEff /proc/self/status",
			change: container(func(c *clusterpb.ContainerSpec) { c.User = "web" }),
			want:   "CapEff:\t0000000000000000\n",
		},
		"seccomp": {
			script: "grep Seccomp: /proc/self/status; unshare -U true 2>&1",
			want:   "Seccomp:\t2\nunshare: unshare(0x10000000): Operation not permitted\n",
		},
		"own processes": {script: "echo $$", want: "1\n"},
		"limits of processes and files": {
			script: "ulimit -n; ulimit -c",
			change: container(func(c *clusterpb.ContainerSpec) {
				c.Ulimits = []*clusterpb.Ulimit{{Name: "nofile", Soft: 100, Hard: 200}, {Name: "core", Soft: 0, Hard: 0}}
			}),
			want: "100\n0\n",
		},
		"kernel parameters": {
			script: "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/core/somaxconn",
			change: func(s *clusterpb.TaskSpec) { s.Sysctls = map[string]string{"net.core.somaxconn": "77"} },
			want:   "0\n77\n",
		},
		"names": {
			script: "cat /etc/hostname; grep -v ip6 /etc/hosts; cat /etc/resolv.conf",
			change: func(s *clusterpb.TaskSpec) {
				s.Hostname, s.Hosts = "box", []string{"10.1.2.3 db"}
				s.Dns = &clusterpb.DNSConfig{Servers: []string{"10.0.0.53"}, Search: []string{"example.org"}, Options: []string{"ndots:2"}}
			},
			want: "box\n127.0.0.1\tlocalhost\n10.1.2.3 db\n10.9.8.7\tbox\nnameserver 10.0.0.53\nsearch example.org\noptions ndots:2\n",
		},
		"no oom score": {script: "cat /proc/self/oom_score_adj", want: "0\n"},
		"oom score": {
			script: "cat /proc/self/oom_score_adj",
			change: container(func(c *clusterpb.ContainerSpec) { c.OomScoreAdj = 500 }),
			want:   "500\n",
		},
		"shared memory": {script: "mount | grep -c '/dev/shm .*size=65536k'", want: "1\n"},
		"masked":        {script: "cat /proc/timer_list /proc/keys | wc -c; ls /sys/firmware | wc -l", want: "0\n0\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			one := task(box, tt.script)
			one.Attachments = []*clusterpb.Attachment{{NetworkId: "ingress", Addresses: []string{"10.9.8.7"}}}
			if tt.change != nil {
				tt.change(one.GetSpec())
			}
			if got := n.output(t, one); got != tt.want {
				t.Errorf("printed %q, want %q", got, tt.want)
			}
		})
	}
}

// TestVolumes runs an image that declares volumes: one that it fills, one that
// is not in it, one inside of another.
func TestVolumes(t *testing.T) {
	n := startNode(t)
	n.busybox(t, box, func(c *v1.Config) {
		c.Volumes = map[string]struct{}{"/var/lib/db": {}, "/etc/": {}, "/var/lib/db/log": {}}
	})
	const script = `stat -c '%a %u' /etc /etc/passwd /var/lib/db /var/lib/db/log
grep -c -e ' /etc ' -e ' /var/lib/db ' -e ' /var/lib/db/log ' /proc/self/mounts
hostname > /var/lib/db/log/name && cat /var/lib/db/log/name`
	want := "1777 0\n644 0\n755 0\n755 0\n3\nbox\n"
	change := func(s *clusterpb.TaskSpec) { s.Hostname, pod.Main(s).ReadOnly = "box", true }
	first, second := task(box, script, change), task(box, "ls /var/lib/db/log", change)
	if got := n.output(t, first); got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
	if got := n.output(t, second); got != "" {
		t.Errorf("another task finds %q in its volume", got)
	}
	if err := n.Release(t.Context(), first.GetId()); err != nil {
		t.Error(err)
	}
	if left, err := filepath.Glob(filepath.Join(n.dir, "state", "*", first.GetId(), "volumes")); err != nil || len(left) > 0 {
		t.Errorf("left of the volumes: %q, %v", left, err)
	}
	n.busybox(t, box, func(c *v1.Config) { c.Volumes = map[string]struct{}{"/bin/busybox": {}} })
	if err := n.Prepare(t.Context(), executor.Request{Task: task(box, "true")}, func(string) {}); err == nil || !strings.Contains(err.Error(), "/bin/busybox") {
		t.Errorf("a volume over a file: %v", err)
	}
}

func TestCgroupLimits(t *testing.T) {
	n := startNode(t)
	n.busybox(t, box)
	one := task(box, "sleep 1000", func(s *clusterpb.TaskSpec) {
		s.Limits = &clusterpb.Resources{NanoCpus: 250_000_000, MemoryBytes: 64 << 20, Pids: 30}
	})
	n.run(t, one)
	tests := map[string]struct{ v1, v2, want string }{
		"cores":     {"cpu/%s/cpu.cfs_quota_us", "%s/cpu.max", "25000"},
		"memory":    {"memory/%s/memory.limit_in_bytes", "%s/memory.max", "67108864"},
		"processes": {"pids/%s/pids.max", "%s/pids.max", "30"},
	}
	for name, tt := range tests {
		format := tt.v1
		if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
			format = tt.v2
		}
		path := "/sys/fs/cgroup/" + fmt.Sprintf(format, n.cgroup+"/"+one.GetId())
		raw, err := os.ReadFile(path)
		if err != nil || !strings.HasPrefix(string(raw), tt.want) {
			t.Errorf("%s: %s holds %q, %v, want %s", name, path, raw, err, tt.want)
		}
	}
}

func TestExits(t *testing.T) {
	n := startNode(t)
	n.busybox(t, box)
	n.busybox(t, "busybox:quit", func(c *v1.Config) { c.StopSignal = "SIGQUIT" })
	n.busybox(t, "busybox:odd", func(c *v1.Config) { c.StopSignal = "SIGNAL" })
	const traps = "trap 'exit 1' TERM; trap 'exit 2' QUIT; trap 'exit 3' HUP; echo ready; while :; do sleep 0.1; done"
	tests := map[string]struct {
		task *clusterpb.Task
		act  func(*testing.T, *clusterpb.Task)
		want executor.Exit
	}{
		"by itself":                {task(box, "exit 7"), nil, executor.Exit{Code: 7}},
		"by its own signal":        {task(box, "sh -c 'kill -SEGV $$'; exit $?"), nil, executor.Exit{Code: 139}},
		"stop signal":              {task(box, traps), n.stop, executor.Exit{Code: 1}},
		"stop signal of the image": {task("busybox:quit", traps), n.stop, executor.Exit{Code: 2}},
		"stop signal of the spec": {
			task("busybox:quit", traps, container(func(c *clusterpb.ContainerSpec) { c.StopSignal = "hup" })),
			n.stop,
			executor.Exit{Code: 3},
		},
		"stop signal that is none": {task("busybox:odd", traps), n.stop, executor.Exit{Code: 1}},
		"killed": {task(box, traps), func(t *testing.T, one *clusterpb.Task) {
			t.Helper()
			if err := n.Kill(t.Context(), one.GetId()); err != nil {
				t.Error(err)
			}
		}, executor.Exit{Code: 137}},
		"out of memory": {
			task(box, "tail /dev/zero", func(s *clusterpb.TaskSpec) { s.Limits = &clusterpb.Resources{MemoryBytes: 16 << 20} }),
			nil,
			executor.Exit{Code: 137, OOMKilled: true},
		},
		"a child out of memory": {
			task(box, "(tail /dev/zero); echo child died; exit 0", func(s *clusterpb.TaskSpec) { s.Limits = &clusterpb.Resources{MemoryBytes: 16 << 20} }),
			nil,
			executor.Exit{},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			n.run(t, tt.task)
			if tt.act != nil {
				n.awaitLine(t, tt.task.GetId(), "ready\n")
				tt.act(t, tt.task)
			}
			if exit := n.wait(t, tt.task.GetId()); exit != tt.want {
				t.Errorf("exit = %+v, want %+v", exit, tt.want)
			}
			// Signals to a process that has ended are no error.
			n.stop(t, tt.task)
		})
	}
}

func TestBadTasks(t *testing.T) {
	n := startNode(t)
	n.busybox(t, box)
	prepare := func(change func(*clusterpb.ContainerSpec)) error {
		return n.Prepare(t.Context(), executor.Request{Task: task(box, "true", container(change))}, func(string) {})
	}
	tests := map[string]struct {
		err  error
		want string
		kind func(error) bool
	}{
		"user": {
			prepare(func(c *clusterpb.ContainerSpec) { c.User = "nobody" }),
			`find user "nobody" in the image`, errdefs.IsInvalidArgument,
		},
		"template": {
			prepare(func(c *clusterpb.ContainerSpec) { c.Env = []string{"A={{.Service.Labels.none}}"} }),
			`environment variable 1: the service has no label none`, errdefs.IsInvalidArgument,
		},
		"capability": {
			prepare(func(c *clusterpb.ContainerSpec) { c.CapAdd = []string{"FLY"} }),
			`capability "FLY": Linux has none`, errdefs.IsInvalidArgument,
		},
		"working directory": {
			prepare(func(c *clusterpb.ContainerSpec) { c.Dir = "here" }),
			`working directory "here": want an absolute path`, errdefs.IsInvalidArgument,
		},
		"image name": {
			prepare(func(c *clusterpb.ContainerSpec) { c.Image = "No/Good" }),
			`image "No/Good": must be NAME[:TAG][@DIGEST]`, errdefs.IsInvalidArgument,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if tt.err == nil || !strings.Contains(tt.err.Error(), tt.want) || !tt.kind(tt.err) {
				t.Errorf("Prepare = %v, want %q", tt.err, tt.want)
			}
		})
	}
	t.Run("program", func(t *testing.T) {
		one := task(box, "", container(func(c *clusterpb.ContainerSpec) { c.Command = []string{"fly"} }))
		if err := n.Prepare(t.Context(), executor.Request{Task: one}, func(string) {}); err != nil {
			t.Fatal(err)
		}
		_, err := n.Start(t.Context(), one)
		const want = `create process: exec: "fly": executable file not found in $PATH`
		if err == nil || err.Error() != want {
			t.Errorf("Start = %v, want %q", err, want)
		}
		if _, err := n.Wait(t.Context(), one.GetId()); !errdefs.IsNotFound(err) {
			t.Errorf("Wait = %v, want not found", err)
		}
	})
}

func TestHealth(t *testing.T) {
	n := startNode(t)
	n.busybox(t, box, func(c *v1.Config) {
		c.Healthcheck = &v1.HealthConfig{Test: []string{"CMD-SHELL", "test -e /ok"}, Interval: 3 * time.Second}
	})
	one := task(box, "echo ready; sleep 1000", container(func(c *clusterpb.ContainerSpec) {
		c.User = "web"
		c.Health = &clusterpb.HealthCheck{Retries: 9}
	}))
	n.run(t, one)
	n.awaitLine(t, one.GetId(), "ready\n")
	got, err := n.HealthCheck(t.Context(), one)
	want := &clusterpb.HealthCheck{
		Test: []string{"CMD-SHELL", "test -e /ok"}, Interval: durationpb.New(3 * time.Second),
		Timeout: durationpb.New(30 * time.Second), StartPeriod: durationpb.New(0),
		StartInterval: durationpb.New(5 * time.Second), Retries: 9,
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" || err != nil {
		t.Errorf("HealthCheck: %v, -want +got\n%s", err, diff)
	}
	// Another build takes the name, and the record of the one that runs is gone.
	if _, err := n.images.Remove(t.Context(), box, true, nil); err != nil {
		t.Fatal(err)
	}
	if again, err := n.HealthCheck(t.Context(), one); err != nil || cmp.Diff(want, again, protocmp.Transform()) != "" {
		t.Errorf("without the image's record: %v, %v", again, err)
	}
	tests := map[string]struct {
		script string
		code   int32
		output string
	}{
		"succeeds":           {"id -u", 0, "33\n"},
		"fails":              {"echo no >&2; exit 3", 3, "no\n"},
		"leaves one behind":  {"sleep 1000 & exit 0", 0, ""},
		"prints a lot":       {"yes | head -c 100000", 0, strings.Repeat("y\n", 2048)},
		"in its directories": {"cat /etc/hostname", 0, one.GetId()[:12] + "\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			code, output, err := n.Exec(t.Context(), one.GetId(), []string{"/bin/sh", "-c", tt.script})
			if err != nil || code != tt.code || output != tt.output {
				t.Errorf("Exec = %d, %q, %v, want %d, %q", code, output, err, tt.code, tt.output)
			}
		})
	}
	t.Run("takes too long", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if _, _, err := n.Exec(ctx, one.GetId(), []string{"/bin/sh", "-c", "sleep 997 | cat"}); err == nil {
			t.Error("Exec = nil, want an error")
		}
		_, output, err := n.Exec(t.Context(), one.GetId(), []string{"ps"})
		if err != nil || strings.Contains(output, "sleep 997") {
			t.Errorf("what the check waited for still runs: %q, %v", output, err)
		}
	})
	t.Run("unknown program", func(t *testing.T) {
		if _, _, err := n.Exec(t.Context(), one.GetId(), []string{"fly"}); err == nil || !strings.Contains(err.Error(), `exec: "fly"`) {
			t.Errorf("Exec = %v", err)
		}
	})
}

// TestContainerdKilled kills containerd while a task runs, and lets another end
// while it is away.
func TestContainerdKilled(t *testing.T) {
	n := startNode(t)
	n.busybox(t, box)
	long, short := task(box, "echo ready; trap 'exit 5' TERM; while :; do sleep 0.1; done"), task(box, "echo ready; sleep 0.5; exit 6")
	exits, errs := make(chan executor.Exit, 2), make(chan error, 2)
	for _, one := range []*clusterpb.Task{long, short} {
		n.run(t, one)
		go func() {
			exit, err := n.Wait(t.Context(), one.GetId())
			if err != nil {
				errs <- err
				return
			}
			exits <- exit
		}()
	}
	n.awaitLine(t, long.GetId(), "ready\n")
	if err := syscall.Kill(n.managed.Pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case exit := <-exits:
		if exit.Code != 6 {
			t.Errorf("exit = %+v, want 6", exit)
		}
	case err := <-errs:
		// Older kernels do not tell how a process ended that ended while
		// containerd was away.
		if !errdefs.IsNotFound(err) {
			t.Errorf("wait: %v", err)
		}
	}
	// The daemon is another one too.
	n.open(t)
	found, err := n.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	running := 0
	for _, f := range found {
		if f.Running {
			running++
			if f.TaskID != long.GetId() || f.Pid == 0 {
				t.Errorf("found %+v", f)
			}
		}
	}
	if len(found) != 2 || running != 1 {
		t.Errorf("found %+v, want both and one running", found)
	}
	status, err := n.Start(t.Context(), long)
	if err != nil || len(status) != 1 || status[0].GetPid() == 0 {
		t.Errorf("Start of a running task = %v, %v", status, err)
	}
	if err := n.Signal(t.Context(), long); err != nil {
		t.Error(err)
	}
	select {
	case exit := <-exits:
		if exit.Code != 5 {
			t.Errorf("exit = %+v, want 5", exit)
		}
	case err := <-errs:
		t.Errorf("wait: %v", err)
	}
}

func TestLogsThroughARestartOfTheLogger(t *testing.T) {
	n := startNode(t)
	n.busybox(t, box)
	one := task(box, "i=0; while test $i -lt 300; do echo line $i; i=$((i+1)); sleep 0.01; done")
	n.run(t, one)
	n.awaitLine(t, one.GetId(), "line 50\n")
	n.stopLogger()
	time.Sleep(200 * time.Millisecond) // lines come while no logger runs
	n.startLogger(t)
	n.wait(t, one.GetId())
	var want strings.Builder
	for i := range 300 {
		fmt.Fprintf(&want, "line %d\n", i)
	}
	if got := n.logs(t, one.GetId()); got != want.String() {
		t.Errorf("%d lines, want 300", strings.Count(got, "\n"))
	}
}

func TestReleaseKeepsLogs(t *testing.T) {
	n := startNode(t)
	n.busybox(t, box)
	one := task(box, "echo hello; sleep 1000")
	n.run(t, one)
	n.awaitLine(t, one.GetId(), "hello\n")
	for range 2 { // the second time there is nothing to do
		if err := n.Release(t.Context(), one.GetId()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := n.Wait(t.Context(), one.GetId()); !errdefs.IsNotFound(err) {
		t.Errorf("Wait = %v, want not found", err)
	}
	if got := n.logs(t, one.GetId()); got != "hello\n" {
		t.Errorf("logs = %q", got)
	}
	found, err := n.List(t.Context())
	if err != nil || len(found) != 1 || found[0].Running {
		t.Errorf("List = %+v, %v, want the task, not running", found, err)
	}
}
