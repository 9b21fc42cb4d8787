package images_test

import (
	"archive/tar"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/ulikunitz/xz"

	"github.com/muster/muster/integration/needs"
	nodepb "github.com/muster/muster/proto/node/v1"
	"github.com/muster/muster/worker/images"
)

func peerFetcher(client nodepb.PeerServiceClient) images.Fetcher {
	return images.PeerClient{Dial: func(string) (nodepb.PeerServiceClient, error) { return client, nil }}
}

// built returns an image that says that it is for a platform.
func built(t *testing.T, architecture string) v1.Image {
	t.Helper()
	img := sample(t)
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	file = file.DeepCopy()
	file.Architecture = architecture
	if img, err = mutate.ConfigFile(img, file); err != nil {
		t.Fatal(err)
	}
	return img
}

// many returns an index with an image for each platform.
func many(t *testing.T, built map[string]v1.Image) v1.ImageIndex {
	t.Helper()
	index := v1.ImageIndex(empty.Index)
	for architecture, img := range built {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{
			Platform: &v1.Platform{OS: "linux", Architecture: architecture},
		}})
	}
	return index
}

// packed returns an OCI layout as tools write it, without what is left out.
func packed(t *testing.T, name string, what mutate.Appendable, left ...v1.Image) []byte {
	t.Helper()
	dir := t.TempDir()
	index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: what, Descriptor: v1.Descriptor{
		Annotations: map[string]string{"org.opencontainers.image.ref.name": name},
	}})
	if _, err := layout.Write(dir, index); err != nil {
		t.Fatal(err)
	}
	for _, img := range left {
		dgst, err := img.Digest()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(dir, "blobs", dgst.Algorithm, dgst.Hex)); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.AddFS(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestLoadWhatToolsWrite loads archives and layouts as they come.
func TestLoadWhatToolsWrite(t *testing.T) {
	s := store(t, nil)
	amd, other, arm := sample(t), built(t, "386"), built(t, "arm64")
	zeros := "web@sha256:" + strings.Repeat("0", 64)
	tests := map[string]struct {
		archive []byte
		wantErr string // a part of it
	}{
		"all platforms":            {packed(t, "web:1", many(t, map[string]v1.Image{"amd64": amd, "arm64": arm})), ""},
		"others left out":          {packed(t, "web:1", many(t, map[string]v1.Image{"amd64": amd, "386": other, "arm64": arm}), other, arm), ""},
		"this one left out":        {packed(t, "web:1", many(t, map[string]v1.Image{"amd64": amd, "arm64": arm}), amd), "lacks a part"},
		"for other machines":       {archive(t, "web:1", arm), "it is for linux/arm64, this node is linux/amd64"},
		"a layout for others":      {packed(t, "web:1", arm), "it is for linux/arm64"},
		"an index for others":      {packed(t, "web:1", many(t, map[string]v1.Image{"arm64": arm})), "it is for linux/arm64"},
		"an index that lies":       {packed(t, "web:1", many(t, map[string]v1.Image{"amd64": arm})), "it is for linux/arm64, this node is linux/amd64"},
		"a digest that is not its": {packed(t, zeros, amd), "what the archive holds under this name is sha256:"},
		"xz":                       {xzipped(t, archive(t, "web:1", amd)), ""},
		"bzip2":                    {bzipped(t, archive(t, "web:1", amd)), ""},
		"lz4":                      {[]byte("\x04\x22\x4d\x18 and so on"), "compressed by lz4; gzip, zstd, xz, bzip2"},
		"nothing":                  {nil, "there is nothing in it: did what was to write it fail?"},
		"torn xz":                  {xzipped(t, archive(t, "web:1", amd))[:1<<20], "ends too early"},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			loaded, err := s.Load(t.Context(), bytes.NewReader(tt.archive), quiet)
			if tt.wantErr != "" {
				if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), tt.wantErr) {
					t.Errorf("Load = %v, %v, want %q", loaded, err, tt.wantErr)
				}
				wantHeld(t, s)
				return
			}
			if err != nil || len(loaded) != 1 || loaded[0].GetName() != "docker.io/library/web:1" {
				t.Fatalf("Load = %v, %v", loaded, err)
			}
			if _, err := s.Remove(t.Context(), "web:1", false, nobody); err != nil {
				t.Error(err)
			}
		})
	}
}

func xzipped(t *testing.T, raw []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := xz.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func bzipped(t *testing.T, raw []byte) []byte {
	t.Helper()
	needs.Programs(t, "bzip2")
	cmd := exec.CommandContext(t.Context(), "bzip2", "-c")
	cmd.Stdin = bytes.NewReader(raw)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}
