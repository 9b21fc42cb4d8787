package images

import (
	"context"
	"testing"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// rival is containerd's records, in which another writer makes each record a
// moment before Create does.
type rival struct {
	images.Store // a call the test did not expect panics

	records map[string]images.Image
}

func (s rival) Create(_ context.Context, record images.Image) (images.Image, error) {
	s.records[record.Name] = images.Image{Name: record.Name}
	return images.Image{}, errdefs.ErrAlreadyExists
}

func (s rival) Update(_ context.Context, record images.Image, _ ...string) (images.Image, error) {
	if _, ok := s.records[record.Name]; !ok {
		return images.Image{}, errdefs.ErrNotFound
	}
	s.records[record.Name] = record
	return record, nil
}

// TestPutBesideAnotherWriter: an image is loaded while its copy comes from
// another node.
func TestPutBesideAnotherWriter(t *testing.T) {
	s := rival{records: make(map[string]images.Image)}
	want := images.Image{Name: "docker.io/library/web:1", Target: ocispec.Descriptor{Digest: digest.FromString("web")}}
	put, err := records{s}.put(t.Context(), want)
	if err != nil || put.Target.Digest != want.Target.Digest || s.records[want.Name].Target.Digest != want.Target.Digest {
		t.Errorf("put %+v, %v", put, err)
	}
}
