package images

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/muster/muster/proto/image"
)

// archived is one image of an archive.
type archived struct {
	ref    image.Ref
	target ocispec.Descriptor
}

// readArchive takes the content of an archive into the store and returns what the
// archive names. Nothing is named yet: a lease of ctx has to hold it.
func readArchive(ctx context.Context, cs content.Store, tar io.Reader) ([]archived, error) {
	desc, err := archive.ImportIndex(ctx, cs, tar)
	if err != nil {
		return nil, err
	}
	raw, err := content.ReadBlob(ctx, cs, desc)
	if err != nil {
		return nil, err
	}
	var index ocispec.Index
	if err := json.Unmarshal(raw, &index); err != nil {
		return nil, fmt.Errorf("parse its index: %w", err)
	}
	var list []archived
	for _, m := range index.Manifests {
		ref, ok, err := nameOf(m)
		if err != nil {
			return nil, err
		}
		if ok {
			list = append(list, archived{ref, m})
		}
	}
	return list, nil
}

// nameOf returns what an archive calls an image. ok is false where that says
// nothing about the repository, as a tag alone.
func nameOf(m ocispec.Descriptor) (ref image.Ref, ok bool, err error) {
	name := m.Annotations[images.AnnotationImageName]
	if name == "" {
		name = m.Annotations[ocispec.AnnotationRefName]
		if !hasRepository(name) {
			return image.Ref{}, false, nil
		}
	}
	if ref, err = image.Parse(name); err != nil {
		return image.Ref{}, false, err
	}
	if ref.IsPinned() && ref.Digest != m.Digest {
		return image.Ref{}, false, fmt.Errorf("image %q: what the archive holds under this name is %s: %w",
			name, m.Digest, errdefs.ErrInvalidArgument)
	}
	return ref, true, nil
}

func hasRepository(name string) bool {
	for _, c := range name {
		if c == ':' || c == '/' || c == '@' {
			return true
		}
	}
	return false
}

// link tells containerd what belongs to an image, so that naming it keeps all
// of it. What an archive leaves out, as tools do with other platforms, is left
// out; that this node's is whole shows when it is unpacked.
func link(ctx context.Context, cs content.Store, target ocispec.Descriptor) error {
	var children images.HandlerFunc = func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		list, err := images.Children(ctx, cs, desc)
		if errdefs.IsNotFound(err) {
			return nil, images.ErrSkipDesc
		}
		return list, err
	}
	return images.Walk(ctx, images.SetChildrenLabels(cs, images.FilterPlatforms(children, platforms.Default())), target)
}

// checkPlatform refuses content that is for other machines than this, by what
// an index says of it and by what it says of itself.
func checkPlatform(ctx context.Context, cs content.Store, target ocispec.Descriptor) error {
	target.Platform = nil // what it says of itself counts, not what an index says of it
	have, err := images.Platforms(ctx, cs, target)
	if errdefs.IsNotFound(err) || len(have) == 0 {
		return nil // some of it is missing; whether that matters shows later
	}
	if err != nil {
		return err
	}
	this := platforms.Default()
	var others []string
	for _, p := range have {
		if p.Architecture == "" || this.Match(p) {
			return checkConfig(ctx, cs, target)
		}
		others = append(others, platforms.Format(p))
	}
	return foreign(strings.Join(others, ", "))
}

// checkConfig refuses an image whose configuration is of another platform than
// its entry in an index, as builds by hand and scripts that copy entries leave it.
func checkConfig(ctx context.Context, cs content.Store, target ocispec.Descriptor) error {
	desc, err := images.Config(ctx, cs, target, platforms.Default())
	if errdefs.IsNotFound(err) {
		return nil // as above
	}
	if err != nil {
		return err
	}
	p, err := images.ConfigPlatform(ctx, cs, desc)
	switch {
	case errdefs.IsNotFound(err):
		return nil
	case err != nil:
		return err
	case p.Architecture == "" || platforms.Default().Match(p):
		return nil
	}
	return foreign(platforms.Format(p))
}

// foreign says that an image is for others.
func foreign(platform string) error {
	return fmt.Errorf("it is for %s, this node is %s: %w", platform, platforms.Format(platforms.DefaultSpec()), errdefs.ErrInvalidArgument)
}
