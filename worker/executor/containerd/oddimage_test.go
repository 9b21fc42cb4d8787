package containerd_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/muster/muster/worker/executor"
)

// volumes lets an image declare volumes.
func volumes(paths ...string) func(*v1.Config) {
	return func(c *v1.Config) {
		c.Volumes = make(map[string]struct{})
		for _, p := range paths {
			c.Volumes[p] = struct{}{}
		}
	}
}

// TestOddImages: an image may say anything of itself. It runs, or its tasks are
// refused with a sentence before anything starts.
func TestOddImages(t *testing.T) {
	n := startNode(t)
	long, entries := strings.Repeat("x", 200<<10), make([]string, 0, 70_000)
	labels := map[string]string{"": "x", "a\x00": "\x00", "io.muster.task": "mine", "containerd.io/gc.root": "x", "long": long}
	for i := range cap(entries) {
		entries = append(entries, fmt.Sprintf("A%d=%s", i, long[:100]))
		labels[fmt.Sprintf("l%d", i%10_000)] = long[:100]
	}
	tests := map[string]struct {
		change  func(*v1.Config)
		refused string // or it runs
	}{
		"volume for devices":              {volumes("/dev"), `volume "/dev" of the image: at /dev a container has`},
		"volume among devices":            {volumes("/dev/data", "/dev/shm"), ""},
		"volume in proc":                  {volumes("/a/../proc/x"), `volume "/proc/x" of the image: at /proc/x a container has`},
		"volume in sys":                   {volumes("sys/fs"), `at /sys/fs a container has`},
		"volume for the hosts file":       {volumes("/etc/hosts"), `at /etc/hosts a container has`},
		"volume below the hosts file":     {volumes("/etc/hosts/x"), `at /etc/hosts/x a container has`},
		"volume for the init":             {volumes("/dev/muster-init"), `at /dev/muster-init a container has`},
		"volume for the name servers":     {volumes("/etc/resolv.conf"), `at /etc/resolv.conf a container has`},
		"volumes outside":                 {volumes("data", "../../up", "a/../../b", "/", "", "."), ""},
		"volume of two lines":             {volumes("/a\nb c"), ""},
		"volume with a NUL":               {volumes("/a\x00b"), `volume "/a\x00b" of the image: find it in the image: invalid argument`},
		"volume of a long name":           {volumes("/" + long[:300]), "find it in the image: file name too long"},
		"volume below a program":          {volumes("/bin/sh/x"), `volume "/bin/sh/x" of the image: find it in the image: not a directory`},
		"relative working directory":      {func(c *v1.Config) { c.WorkingDir = "tmp" }, `working directory "tmp": want an absolute path`},
		"working directory outside":       {func(c *v1.Config) { c.WorkingDir = "/../../tmp/../etc" }, ""},
		"working directory with a NUL":    {func(c *v1.Config) { c.WorkingDir = "/a\x00" }, "working directory 1 of the process has a NUL"},
		"user of three parts":             {func(c *v1.Config) { c.User = "a:b:c" }, `find user "a:b:c" in the image`},
		"user of no number":               {func(c *v1.Config) { c.User = "99999999999" }, "uid out of range"},
		"user of control characters":      {func(c *v1.Config) { c.User = "\x1b[31mx" }, `find user "\x1b[31mx" in the image`},
		"user of a long name":             {func(c *v1.Config) { c.User = long }, "has 204800 bytes, at most 253"},
		"user of a group alone":           {func(c *v1.Config) { c.User = ":5" }, ""},
		"variable too long":               {func(c *v1.Config) { c.Env = []string{"A=" + long} }, "environment variable 3 of the process has 204802 bytes"},
		"too many variables":              {func(c *v1.Config) { c.Env = entries }, "the arguments and environment of the process have"},
		"variable with a NUL":             {func(c *v1.Config) { c.Env = []string{"A=a\x00b"} }, "environment variable 3 of the process has a NUL"},
		"variables twice and without '='": {func(c *v1.Config) { c.Env = []string{"A=1", "A=2", "B", "PATH", "", "=x"} }, ""},
		"labels":                          {func(c *v1.Config) { c.Labels = labels }, ""},
		"health check of another kind":    {func(c *v1.Config) { c.Healthcheck = &v1.HealthConfig{Test: []string{"WHAT"}} }, ""},
		"argument with a NUL":             {func(c *v1.Config) { c.Cmd = []string{"/bin/sh", "a\x00b"} }, "argument 2 of the process has a NUL"},
		"argument too long":               {func(c *v1.Config) { c.Cmd = []string{"/bin/echo", long} }, "argument 2 of the process has 204800 bytes"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			n.busybox(t, box, func(c *v1.Config) { c.Cmd = []string{"/bin/sh", "-c", "exit 7"} }, tt.change)
			one := task(box, "")
			one.GetSpec().GetContainers()[0].Command, one.GetSpec().GetContainers()[0].Args = nil, nil
			err := n.Prepare(t.Context(), executor.Request{Task: one}, func(string) {})
			if tt.refused != "" {
				if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), tt.refused) || len(err.Error()) > 400 {
					t.Errorf("Prepare = %v, want %q", err, tt.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			n.run(t, one)
			if exit := n.wait(t, one.GetId()); exit.Code != 7 {
				t.Errorf("it ended with %+v", exit)
			}
		})
	}
}
