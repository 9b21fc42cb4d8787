package describe

import (
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNode(t *testing.T) {
	got, err := Node(Given{Version: "1.2", Labels: map[string]string{"disk": "ssd"}, DataAddr: "192.0.2.1", ControlAddr: "192.0.2.1:2377"})
	if err != nil {
		t.Fatal(err)
	}
	hostname, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if got.GetHostname() != hostname || got.GetVersion() != "1.2" || got.GetDataAddr() != "192.0.2.1" || got.GetControlAddr() != "192.0.2.1:2377" {
		t.Errorf("described as %v", got)
	}
	if d := cmp.Diff(map[string]string{"disk": "ssd"}, got.GetLabels()); d != "" {
		t.Errorf("labels (-want +got):\n%s", d)
	}
	if p := got.GetPlatform(); p.GetOs() != "linux" || p.GetArchitecture() != runtime.GOARCH {
		t.Errorf("platform %v", p)
	}

	// The kernel's own figures, read another way.
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		t.Fatal(err)
	}
	if got.GetKernel() != strings.TrimSpace(string(release)) {
		t.Errorf("kernel %q, want %q", got.GetKernel(), strings.TrimSpace(string(release)))
	}
	meminfo, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`MemTotal:`).Match(meminfo) || got.GetResources().GetMemoryBytes() < 64<<20 {
		t.Errorf("%d bytes of memory", got.GetResources().GetMemoryBytes())
	}
	if n := got.GetResources().GetNanoCpus(); n < 1e9 || n%1e9 != 0 {
		t.Errorf("%d nano CPUs", n)
	}
}

func TestHostnameGiven(t *testing.T) {
	got, err := Node(Given{Hostname: "node-7"})
	if err != nil {
		t.Fatal(err)
	}
	if got.GetHostname() != "node-7" {
		t.Errorf("hostname %q", got.GetHostname())
	}
}
