package pack

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/muster/muster/integration/needs"
)

func needsRoot(t *testing.T) {
	t.Helper()
	needs.Root(t, "a root file system")
	needs.Programs(t, "apt-get", "dpkg-deb", "tar")
}

// load reads the image of a docker-archive.
func load(t *testing.T, path, ref string) v1.Image {
	t.Helper()
	tag, err := name.NewTag(ref)
	if err != nil {
		t.Fatal(err)
	}
	img, err := tarball.ImageFromPath(path, &tag)
	if err != nil {
		t.Fatalf("load %s: %v", path, err)
	}
	return img
}

// root makes a directory with the files of an image.
func root(t *testing.T, img v1.Image) string {
	t.Helper()
	dir := t.TempDir()
	files := mutate.Extract(img)
	defer files.Close()
	tar := exec.Command("tar", "--extract", "--directory", dir, "--numeric-owner", "--same-permissions")
	tar.Stdin = files
	if out, err := tar.CombinedOutput(); err != nil {
		t.Fatalf("extract: %v: %s", err, out)
	}
	return dir
}

// TestDebian runs what was packed, with the image as its root.
func TestDebian(t *testing.T) {
	needsRoot(t)
	tests := map[string]struct {
		image   Image
		command []string // run with the image as its root
		want    string   // in what it prints
	}{
		"nginx": {Nginx("nginx:latest"), []string{"nginx", "-t"}, "test is successful"},
		"redis": {Redis("redis:latest"), []string{"redis-server", "--version"}, "Redis server v="},
		"shell": {Busybox("busybox:latest"), []string{"sh", "-c", "echo one two | wc -w"}, "2"},
		"users": {Redis("redis:latest"), []string{"stat", "-c", "%U %u", "/data"}, "redis 900"},
		"shell beside coreutils": {
			Nginx("nginx:latest"),
			[]string{"sh", "-c", "readlink -f /bin/sh /bin/ls /usr/bin/wget"},
			"/usr/bin/dash\n/usr/bin/ls\n/usr/bin/busybox",
		},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			path, err := Debian(t.Context(), DefaultCache(), tt.image)
			if err != nil {
				t.Fatal(err)
			}
			img := load(t, path, tt.image.Name)
			file, err := img.ConfigFile()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.image.Config, file.Config); diff != "" {
				t.Errorf("config (-want +got):\n%s", diff)
			}
			dir := root(t, img)
			if err := os.MkdirAll(filepath.Join(dir, "dev"), 0o755); err != nil {
				t.Fatal(err)
			}
			// nginx opens its logs to test its configuration.
			for _, log := range []string{"stdout", "stderr", "null"} {
				if err := os.WriteFile(filepath.Join(dir, "dev", log), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.CommandContext(t.Context(), "chroot", append([]string{dir}, tt.command...)...)
			cmd.Env = file.Config.Env
			out, err := cmd.CombinedOutput()
			logged, _ := os.ReadFile(filepath.Join(dir, "dev", "stderr"))
			if got := string(out) + string(logged); err != nil || !strings.Contains(got, tt.want) {
				t.Errorf("%q printed %q (%v), want %q in it", tt.command, got, err, tt.want)
			}
		})
	}
}

func TestSameBytes(t *testing.T) {
	needsRoot(t)
	read := func(cache string) []byte {
		path, err := Debian(t.Context(), cache, Busybox("busybox:latest"))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if !bytes.Equal(read(t.TempDir()), read(t.TempDir())) {
		t.Error("the same definition gave other bytes")
	}
}

func TestCache(t *testing.T) {
	needsRoot(t)
	cache := t.TempDir()
	image := Busybox("busybox:latest")
	first, err := Debian(t.Context(), cache, image)
	if err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel() // with which nothing can be run
	again, err := Debian(gone, cache, image)
	if err != nil || again != first {
		t.Errorf("packed again: %q, %v; want %q from the cache", again, err, first)
	}
	image.Config.StopSignal = "SIGINT"
	if other, err := Debian(gone, cache, image); err == nil {
		t.Errorf("another definition: %q from the cache", other)
	}
	left, err := filepath.Glob(filepath.Join(cache, ".packing-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left of packing: %q, %v", left, err)
	}
}

func TestUnknownPackage(t *testing.T) {
	needsRoot(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	_, err := Debian(ctx, t.TempDir(), Image{Name: "x:1", Packages: []string{"no-such-package"}})
	if err == nil || !strings.Contains(err.Error(), "no-such-package") {
		t.Errorf("error %v, want one that names the package", err)
	}
}

func TestProgram(t *testing.T) {
	needsRoot(t)
	const ref = "packimage:test"
	path, err := Program(t.Context(), t.TempDir(), ref, "github.com/muster/muster/integration/pack/packimage")
	if err != nil {
		t.Fatal(err)
	}
	img := load(t, path, ref)
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "chroot", append([]string{root(t, img)}, file.Config.Entrypoint...)...).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "name an image") {
		t.Errorf("the program printed %q (%v)", out, err)
	}
}
