package containerd

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/pkg/cap"
	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/opencontainers/runtime-spec/specs-go"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/spec"
	"github.com/muster/muster/worker/images"
)

// TestArguments writes entrypoint and command as "a b | c d".
func TestArguments(t *testing.T) {
	tests := map[string]struct{ image, spec, want string }{
		"image":                       {"run | fast", "|", "run fast"},
		"spec's command":              {"run | fast", "| slow", "run slow"},
		"spec's entrypoint":           {"run | fast", "walk |", "walk"},
		"spec's both":                 {"run | fast", "walk | far", "walk far"},
		"image without an entrypoint": {"| sh", "|", "sh"},
		"none":                        {"|", "|", ""},
		"entrypoint emptied":          {"run | fast", "- | slow", "slow"},
		"emptied, and nothing given":  {"run | fast", "- |", ""},
	}
	split := func(s string) (a, b []string) {
		left, right, _ := strings.Cut(s, "|")
		return strings.Fields(left), strings.Fields(right)
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			entrypoint, command := split(tt.image)
			own, args := split(tt.spec)
			if slices.Equal(own, []string{"-"}) {
				own = []string{""}
			}
			image := &dockerspec.DockerOCIImageConfig{ImageConfig: ocispec.ImageConfig{Entrypoint: entrypoint, Cmd: command}}
			got, err := arguments(&clusterpb.ContainerSpec{Command: own, Args: args}, image)
			if strings.Join(got, " ") != tt.want || (tt.want == "") != errdefs.IsInvalidArgument(err) {
				t.Errorf("arguments = %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

func TestEnvironment(t *testing.T) {
	tests := map[string]struct{ image, spec, want []string }{
		"defaults":     {nil, nil, []string{defaultPath, "HOSTNAME=h"}},
		"image's path": {[]string{"PATH=/x"}, nil, []string{"PATH=/x", "HOSTNAME=h"}},
		"spec wins":    {[]string{"A=1", "B=2"}, []string{"A=3=4"}, []string{defaultPath, "HOSTNAME=h", "A=3=4", "B=2"}},
		"taken away":   {[]string{"A=1"}, []string{"A", "C"}, []string{defaultPath, "HOSTNAME=h"}},
		"without name": {[]string{"", "=x", "A=1"}, []string{"=y"}, []string{defaultPath, "HOSTNAME=h", "A=1"}},
		"set anew":     {[]string{"A=1", "B=2", "A"}, []string{"A=3"}, []string{defaultPath, "HOSTNAME=h", "B=2", "A=3"}},
		"empty value":  {[]string{"A=1"}, []string{"A="}, []string{defaultPath, "HOSTNAME=h", "A="}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := environment(&clusterpb.ContainerSpec{Env: tt.spec}, tt.image, "h")
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// TestFirstBadWord: of several bad words the same is named each time.
func TestFirstBadWord(t *testing.T) {
	const bad = "a\x00b"
	for range 50 {
		err := checkWords(&specs.Process{Args: []string{"sh", bad}, Env: []string{bad}, Cwd: bad})
		if err == nil || !strings.HasPrefix(err.Error(), "argument 2 of the process") {
			t.Fatalf("refused by %v, want argument 2", err)
		}
	}
}

func TestMergeCaps(t *testing.T) {
	known := slices.Clone(cap.Known())
	t.Cleanup(func() {
		if diff := cmp.Diff(known, cap.Known()); diff != "" {
			t.Errorf("the library's list was changed:\n%s", diff)
		}
	})
	tests := map[string]struct {
		add, drop string
		has, not  string
		count     int
	}{
		"default":       {count: 14, has: "CAP_KILL", not: "CAP_SYS_ADMIN"},
		"add":           {add: "net_admin CAP_SYS_TIME", count: 16, has: "CAP_NET_ADMIN CAP_SYS_TIME"},
		"add one twice": {add: "KILL kill", count: 14},
		"drop":          {drop: "cap_kill", count: 13, not: "CAP_KILL"},
		"drop all":      {drop: "ALL", count: 0},
		"drop all but":  {drop: "all", add: "CHOWN", count: 1, has: "CAP_CHOWN"},
		"add all":       {add: "ALL", count: 41, has: "CAP_SYS_ADMIN"},
		"add all but":   {add: "ALL", drop: "SYS_ADMIN", count: 40, not: "CAP_SYS_ADMIN"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := mergeCaps(strings.Fields(tt.add), strings.Fields(tt.drop))
			if err != nil || len(got) != tt.count {
				t.Errorf("%d capabilities, %v, want %d: %q", len(got), err, tt.count, got)
			}
			all := " " + strings.Join(got, " ") + " "
			for c := range strings.FieldsSeq(tt.has) {
				if !strings.Contains(all, " "+c+" ") {
					t.Errorf("%s is missing", c)
				}
			}
			if tt.not != "" && strings.Contains(all, " "+tt.not+" ") {
				t.Errorf("%s is there", tt.not)
			}
		})
	}
}

// TestCapabilitiesOfTheLibrary: containerd, which knows them by number, has the
// same.
func TestCapabilitiesOfTheLibrary(t *testing.T) {
	if got, want := spec.Capabilities(), cap.Known(); !slices.Equal(got, want) {
		t.Errorf("capabilities %q, want %q", got, want)
	}
}

func TestResolvConf(t *testing.T) {
	const host = "# made by hand\nnameserver 127.0.0.53\nnameserver 10.0.0.1\nnameserver ::1\nsearch lan\noptions edns0\n"
	tests := map[string]struct {
		dns            *clusterpb.DNSConfig
		host, resolved string
		want           string
	}{
		"host without loopback": {nil, host, "", "nameserver 10.0.0.1\nsearch lan\noptions edns0\n"},
		"systemd-resolved":      {nil, "nameserver 127.0.0.53\n", "nameserver 10.0.0.2\n", "nameserver 10.0.0.2\n"},
		"none":                  {nil, "", "", "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"},
		"spec": {
			&clusterpb.DNSConfig{Servers: []string{"127.0.0.1"}, Options: []string{"ndots:1"}}, host, "",
			"nameserver 127.0.0.1\nsearch lan\noptions ndots:1\n",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := resolvConf(tt.dns, tt.host, tt.resolved); got != tt.want {
				t.Errorf("resolv.conf is %q, want %q", got, tt.want)
			}
		})
	}
}

func TestSpecLimits(t *testing.T) {
	one := &clusterpb.Task{Id: "t", Spec: &clusterpb.TaskSpec{
		Containers: []*clusterpb.ContainerSpec{{Command: []string{"x"}}},
		Limits:     &clusterpb.Resources{NanoCpus: 1_500_000_000, MemoryBytes: 1 << 30, Pids: 9},
	}}
	s, err := recipe{task: one, image: &images.Image{}, host: host{swap: true, seccomp: true}, netns: "/run/netns/x", cgroup: "/m/t"}.spec(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r := s.Linux.Resources
	if *r.CPU.Quota != 150_000 || *r.CPU.Period != 100_000 || *r.Memory.Limit != 1<<30 || *r.Memory.Swap != 1<<30 || *r.Pids.Limit != 9 {
		t.Errorf("limits are %+v %+v %+v", r.CPU, r.Memory, r.Pids)
	}
	if s.Linux.CgroupsPath != "/m/t" || s.Linux.Seccomp == nil || s.Process.NoNewPrivileges {
		t.Errorf("cgroup %q, seccomp %v, no new privileges %v", s.Linux.CgroupsPath, s.Linux.Seccomp != nil, s.Process.NoNewPrivileges)
	}
	if slices.Contains(s.Linux.Seccomp.Architectures, specs.ArchX32) {
		t.Errorf("x32 is filtered too, which costs a third of a start: %v", s.Linux.Seccomp.Architectures)
	}
	var kinds []string
	for _, ns := range s.Linux.Namespaces {
		kinds = append(kinds, string(ns.Type))
		if ns.Type == specs.NetworkNamespace && ns.Path != "/run/netns/x" {
			t.Errorf("network namespace is %q", ns.Path)
		}
	}
	if diff := cmp.Diff([]string{"pid", "ipc", "uts", "mount", "network", "cgroup"}, kinds); diff != "" {
		t.Errorf("namespaces: -want +got\n%s", diff)
	}
}

func TestOOMKills(t *testing.T) {
	tests := map[string]struct {
		content string
		want    uint64
	}{
		"version 2": {"low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n", 2},
		"version 1": {"oom_kill_disable 0\nunder_oom 0\noom_kill 1\n", 1},
		"none":      {"oom_kill 0\n", 0},
		"no file":   {"", 0},
	}
	for name, tt := range tests {
		if got := oomKills(tt.content); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
}

func TestReason(t *testing.T) {
	long := errors.New(`failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init: exec: "x": not found: unknown`)
	if got := reason(long); got.Error() != `exec: "x": not found` || !errors.Is(got, long) {
		t.Errorf("reason = %q", got)
	}
}
