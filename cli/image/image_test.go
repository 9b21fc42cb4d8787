package image_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster/muster/cli/clitest"
	"github.com/muster/muster/cli/command"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
)

// node answers what commands ask of a node's images.
type node struct {
	controlpb.UnimplementedImageServiceServer
	images []*controlpb.LocalImage
	loaded bytes.Buffer
	refuse error // what LoadImage answers at once
}

func serve(t *testing.T, n *node) clitest.Daemon {
	t.Helper()
	return clitest.Serve(t, func(r grpc.ServiceRegistrar) { controlpb.RegisterImageServiceServer(r, n) })
}

// LoadImage takes what it is sent.
func (n *node) LoadImage(stream grpc.BidiStreamingServer[controlpb.LoadImageRequest, controlpb.LoadImageResponse]) error {
	for n.refuse == nil {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			images := []*clusterpb.NodeImage{{Name: "docker.io/library/nginx:1.29"}}
			return stream.Send(&controlpb.LoadImageResponse{Progress: &controlpb.ImageProgress{Stage: "done", Images: images}})
		}
		if err != nil {
			return err
		}
		n.loaded.Write(r.GetData())
		if err := stream.Send(&controlpb.LoadImageResponse{Progress: &controlpb.ImageProgress{Stage: "fetching", DoneBytes: int64(n.loaded.Len())}}); err != nil {
			return err
		}
	}
	return n.refuse
}

// PullImage fetches at once.
func (n *node) PullImage(r *controlpb.PullImageRequest, stream grpc.ServerStreamingServer[controlpb.PullImageResponse]) error {
	for _, stage := range []string{"resolving", "fetching", "fetching"} {
		if err := stream.Send(&controlpb.PullImageResponse{Progress: &controlpb.ImageProgress{Stage: stage, DoneBytes: 5, TotalBytes: 10}}); err != nil {
			return err
		}
	}
	images := []*clusterpb.NodeImage{{Name: "docker.io/library/" + r.GetImage()}}
	return stream.Send(&controlpb.PullImageResponse{Progress: &controlpb.ImageProgress{Stage: "done", Images: images}})
}

// ListImages returns all images.
func (n *node) ListImages(context.Context, *controlpb.ListImagesRequest) (*controlpb.ListImagesResponse, error) {
	return &controlpb.ListImagesResponse{Images: n.images}, nil
}

// RemoveImage removes what is called nginx.
func (n *node) RemoveImage(_ context.Context, r *controlpb.RemoveImageRequest) (*controlpb.RemoveImageResponse, error) {
	if r.GetImage() != "nginx" {
		return nil, fmt.Errorf("no image %q: %w", r.GetImage(), errdefs.ErrNotFound)
	}
	return &controlpb.RemoveImageResponse{Untagged: []string{"docker.io/library/nginx:latest"}, Deleted: []string{"sha256:0123"}}, nil
}

func TestLoad(t *testing.T) {
	archive := strings.Repeat("0123456789", 100_000) // several messages
	path := filepath.Join(t.TempDir(), "image.tar")
	if err := os.WriteFile(path, []byte(archive), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		input string
		args  []string
	}{
		"argument":         {"", []string{path}},
		"flag":             {"", []string{"-i", path}},
		"standard input":   {archive, nil},
		"dash":             {archive, []string{"-"}},
		"dash by the flag": {archive, []string{"--input", "-", "-q"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			n := new(node)
			r := serve(t, n).RunWith(t, tt.input, append([]string{"image", "load"}, tt.args...)...)
			if r.Status != command.ExitOK || !strings.HasSuffix(r.Out, "Loaded image: nginx:1.29\n") {
				t.Errorf("%+v", r)
			}
			if n.loaded.String() != archive {
				t.Errorf("%d bytes arrived, want %d", n.loaded.Len(), len(archive))
			}
		})
	}
}

func TestLoadThatTheNodeRefuses(t *testing.T) {
	n := &node{refuse: errdefs.ErrInvalidArgument.WithMessage("not an image archive")}
	c := serve(t, n)
	// More than fits the stream's window: the sender waits for the node.
	r := c.RunWith(t, strings.Repeat("x", 4<<20), "image", "load")
	if r.Status != command.ExitMisuse || r.Err != "muster: load image: not an image archive\n" {
		t.Errorf("%+v", r)
	}
	n.refuse = nil
	if r := c.Run(t, "image", "load", "/no/such/file"); r.Status != command.ExitMisuse || !strings.Contains(r.Err, "/no/such/file: no such file") {
		t.Errorf("%+v", r)
	}
	if r := c.Run(t, "image", "load", t.TempDir()); r.Status != command.ExitMisuse || !strings.Contains(r.Err, "is a directory") {
		t.Errorf("%+v", r)
	}
	// What opens but cannot be read must not leave the node waiting.
	if r := c.Run(t, "image", "load", "/proc/self/mem"); r.Status != command.ExitFailure || !strings.Contains(r.Err, "input/output error") {
		t.Errorf("%+v", r)
	}
	if r := c.Run(t, "image", "load", "-i", "a", "b"); r.Status != command.ExitMisuse {
		t.Errorf("%+v, want a misuse", r)
	}
}

func TestPull(t *testing.T) {
	c := serve(t, new(node))
	r := c.Run(t, "image", "pull", "nginx:1.29")
	if r.Status != command.ExitOK || r.Out != "docker.io/library/nginx:1.29\n" || r.Err != "resolving\nfetching\ndone\n" {
		t.Errorf("%+v", r)
	}
	if r := c.Run(t, "image", "pull", "-q", "nginx:1.29"); r.Out != "docker.io/library/nginx:1.29\n" {
		t.Errorf("quiet: %+v", r)
	}
	if r := c.Run(t, "image", "pull", "Nginx:"); r.Status != command.ExitMisuse {
		t.Errorf("%+v, want a misuse", r)
	}
}

func TestList(t *testing.T) {
	pinned := "registry.example.com/a/b@sha256:" + strings.Repeat("f", 64)
	c := serve(t, &node{images: []*controlpb.LocalImage{
		{Name: "docker.io/library/nginx:1.29", Digest: "sha256:0123456789abcdef", SizeBytes: 187e6, CreatedAt: timestamppb.New(clitest.Now().Add(-time.Hour)), UsedBy: 3, Labels: map[string]string{"team": "a", "x": ""}},
		{Name: pinned, Digest: "sha256:" + strings.Repeat("f", 64), SizeBytes: 5e6},
	}})
	tests := map[string]string{
		"image ls": `
REPOSITORY                 TAG      IMAGE ID       CREATED             SIZE
nginx                      1.29     0123456789ab   about an hour ago   187MB
registry.example.com/a/b   <none>   ffffffffffff                       5MB`,
		"image ls --format {{.Containers}}":                         "3\n0",
		"image ls -q nginx:1.29":                                    "0123456789ab",
		"image ls --no-trunc --format {{.ID}} nginx":                "sha256:0123456789abcdef",
		"image ls --digests --format {{.Digest}} nginx":             "sha256:0123456789abcdef",
		"image ls -q nginx:1.28":                                    "",
		"image ls --format {{.Repository}}:{{.Tag}} nginx":          "nginx:1.29",
		"image ls --format {{.CreatedAt}} nginx":                    "2026-01-02T02:04:05Z",
		"image ls -q nginx:*":                                       "0123456789ab",
		"image ls -q nginx:1.[0-3]?":                                "0123456789ab",
		"image ls -q docker.io/library/nginx":                       "0123456789ab",
		"image ls -q registry.example.com/*/b":                      "ffffffffffff",
		"image ls -q registry.example.com/a/b:<none>":               "ffffffffffff",
		"image ls -q *":                                             "0123456789ab",
		"image ls -q -f dangling=true":                              "ffffffffffff",
		"image ls -q -f dangling=false":                             "0123456789ab",
		"image ls -q -f reference=nginx:*":                          "0123456789ab",
		"image ls -q -f reference=redis -f reference=*/*/b":         "ffffffffffff",
		"image ls -q -f reference=nginx -f dangling=true":           "",
		"image ls -q -f before=nginx:1.29":                          "ffffffffffff",
		"image ls -q -f before=0123":                                "ffffffffffff",
		"image ls -q -f before=" + pinned:                           "",
		"image ls -q -f since=sha256:ffff":                          "0123456789ab",
		"image ls -q -f since=nginx:1.29":                           "",
		"image ls -q -f since=ffff -f since=nginx:1.29":             "",
		"image ls -q -f before=nginx:1.29 -f before=ffff":           "",
		"image ls -q -f until=30m":                                  "0123456789ab\nffffffffffff",
		"image ls -q -f until=2h":                                   "ffffffffffff",
		"image ls -q -f until=2026-01-02T02:04:05Z":                 "ffffffffffff",
		"image ls -q -f until=2026-01-02T02:04:06Z -f label=team=a": "0123456789ab",
		"image ls -q -f label=team -f label=x":                      "0123456789ab",
		"image ls -q -f label=team=b":                               "",
		"image ls -q redis:*":                                       "",
		"image ls --format {{.Size}} registry.example.com/":         "",
	}
	for line, want := range tests {
		r := c.Run(t, strings.Fields(line)...)
		if got := squeeze(r.Out); r.Status != command.ExitOK || got != squeeze(want) {
			t.Errorf("%s: %q\n%s\nwant:\n%s", line, r.Err, got, squeeze(want))
		}
	}
	for value, want := range map[string]struct {
		status int
		text   string
	}{
		"until=soon":      {command.ExitMisuse, `--filter "until=soon": until must be a time such as`},
		"before=redis":    {command.ExitFailure, `--filter "before=redis": image "redis" is not on this node`},
		"since=":          {command.ExitFailure, `--filter "since=": image "" is not on this node`},
		"dangling=maybe":  {command.ExitMisuse, "dangling must be one of true, false"},
		"containers=nope": {command.ExitMisuse, "before, dangling, label, reference, since, until"},
	} {
		if r := c.Run(t, "image", "ls", "-f", value); r.Status != want.status || !strings.Contains(r.Err, want.text) || r.Out != "" {
			t.Errorf("%s: %+v, want %s", value, r, want.text)
		}
	}
	for _, args := range [][]string{{"nginx:["}, {"-f", "reference=nginx:["}} {
		if r := c.Run(t, append([]string{"image", "ls"}, args...)...); r.Status != command.ExitMisuse || !strings.Contains(r.Err, `pattern "nginx:["`) {
			t.Errorf("%+v, want a misuse", r)
		}
	}
}

// TestListWithinASecond: images that a script builds at once are told apart.
func TestListWithinASecond(t *testing.T) {
	first, second := clitest.Now().Add(-time.Second), clitest.Now().Add(-time.Second/2)
	c := serve(t, &node{images: []*controlpb.LocalImage{
		{Name: "docker.io/library/a:1", Digest: "sha256:aaaaaaaaaaaa", CreatedAt: timestamppb.New(first)},
		{Name: "docker.io/library/b:1", Digest: "sha256:bbbbbbbbbbbb", CreatedAt: timestamppb.New(second)},
	}})
	for line, want := range map[string]string{"": "bbbbbbbbbbbb\naaaaaaaaaaaa\n", "-f before=b:1": "aaaaaaaaaaaa\n", "-f since=a:1": "bbbbbbbbbbbb\n"} {
		if r := c.Run(t, append([]string{"image", "ls", "-q"}, strings.Fields(line)...)...); r.Out != want {
			t.Errorf("%q: %+v, want %q", line, r, want)
		}
	}
}

func squeeze(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	for i, line := range lines {
		lines[i] = strings.Join(strings.Fields(line), " ")
	}
	return strings.Join(lines, "\n")
}

func TestRemove(t *testing.T) {
	c := serve(t, new(node))
	r := c.Run(t, "image", "rm", "nope", "nginx")
	if r.Out != "Untagged: nginx:latest\nDeleted: sha256:0123\n" || r.Err != "muster: no image \"nope\"\n" || r.Status != command.ExitFailure {
		t.Errorf("%+v", r)
	}
}

func TestCompletion(t *testing.T) {
	c := serve(t, &node{images: []*controlpb.LocalImage{{Name: "docker.io/library/nginx:1.29"}, {Name: "docker.io/library/redis@sha256:" + strings.Repeat("f", 64)}}})
	for line, want := range map[string]string{"rm ": "nginx:1.29 :4", "pull ngi": "nginx:1.29 :4", "pull x": ":4"} {
		r := c.Run(t, append([]string{"__complete", "image"}, strings.Split(line, " ")...)...)
		if got := strings.Join(strings.Fields(r.Out), " "); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}
