package images

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/page"
)

// manyImages is containerd's records of very many images. Calls that the tests do
// not expect panic, here and below.
type manyImages struct {
	images.Store
	n int
}

func (m manyImages) List(context.Context, ...string) (list []images.Image, _ error) {
	for i := range m.n {
		list = append(list, images.Image{
			Name:   fmt.Sprintf("docker.io/library/web:%05d", m.n-i),
			Target: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(fmt.Sprint(i)), Size: 1},
		})
	}
	return list, nil
}

type noContainers struct{ containers.Store }

func (noContainers) List(context.Context, ...string) ([]containers.Container, error) { return nil, nil }

// counted is content that cannot be read, and counts of how many images somebody
// tried.
type counted struct {
	content.Store
	of map[digest.Digest]struct{}
}

func (c counted) ReaderAt(_ context.Context, d ocispec.Descriptor) (content.ReaderAt, error) {
	c.of[d.Digest] = struct{}{}
	return nil, errdefs.ErrNotFound
}

func (c counted) Info(_ context.Context, d digest.Digest) (content.Info, error) {
	c.of[d] = struct{}{}
	return content.Info{}, errdefs.ErrNotFound
}

// TestListReadsWhatIsShown: a page of the images costs the content of those on
// it, not of all.
func TestListReadsWhatIsShown(t *testing.T) {
	read := counted{of: make(map[digest.Digest]struct{})}
	c, err := client.New("", client.WithServices(
		client.WithImageStore(manyImages{n: 5000}), client.WithContainerStore(noContainers{}), client.WithContentStore(read)))
	if err != nil {
		t.Fatal(err)
	}
	s := New(Config{Client: c})
	p, err := page.Of("images", &controlpb.ListImagesRequest{PageSize: 10})
	if err != nil {
		t.Fatal(err)
	}
	records, view, err := s.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	views, next := page.Cut(p, slices.Values(records), func(i images.Image) string { return i.Name }, view)
	if len(views) != 10 || next == "" || views[0].GetName() != "docker.io/library/web:00001" || views[0].GetDigest() == "" {
		t.Errorf("the page has %v", views)
	}
	if len(read.of) != 10 {
		t.Errorf("the content of %d images was looked at for a page of 10", len(read.of))
	}
}
