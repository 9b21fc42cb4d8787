package images

import (
	"context"
	"fmt"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/muster/muster/proto/image"
)

// match finds the records that name stands for: a reference, a digest, or the
// beginning of one as lists show it.
func (rs records) match(ctx context.Context, name string) ([]images.Image, error) {
	if dgst, err := digest.Parse(name); err == nil {
		records, err := rs.List(ctx, fmt.Sprintf("target.digest==%s", dgst))
		if err == nil && len(records) == 0 {
			err = fmt.Errorf("image %q is not on this node: %w", name, errdefs.ErrNotFound)
		}
		return records, err
	}
	record, err := rs.called(ctx, name)
	if err == nil {
		return []images.Image{record}, nil
	}
	if !isHex(name) || !errdefs.IsNotFound(err) && !errdefs.IsInvalidArgument(err) {
		return nil, err
	}
	records, listErr := rs.List(ctx, fmt.Sprintf("target.digest~=%q", "^sha256:"+name))
	if listErr != nil {
		return nil, fmt.Errorf("look for image %q: %w", name, listErr)
	}
	if len(records) == 0 {
		return nil, err
	}
	for _, r := range records {
		if r.Target.Digest != records[0].Target.Digest {
			return nil, fmt.Errorf("image %q: several images begin like this: write more of the id: %w", name, errdefs.ErrInvalidArgument)
		}
	}
	return records, nil
}

// called finds the record of a reference.
func (rs records) called(ctx context.Context, name string) (images.Image, error) {
	r, err := image.Parse(name)
	if err != nil {
		return images.Image{}, err
	}
	wanted := r.Name()
	if r.IsPinned() {
		wanted = r.Exact()
	}
	record, err := rs.Get(ctx, wanted)
	if errdefs.IsNotFound(err) {
		err = fmt.Errorf("image %q is not on this node: %w", name, errdefs.ErrNotFound)
	}
	return record, err
}

// find looks in the local store: by digest if the reference has one, whatever
// name the content is kept under, else by name.
func (rs records) find(ctx context.Context, r image.Ref) (images.Image, error) {
	if !r.IsPinned() {
		return rs.Get(ctx, r.Name())
	}
	records, err := rs.List(ctx, fmt.Sprintf("target.digest==%s", r.Digest))
	if err != nil {
		return images.Image{}, fmt.Errorf("look for it in containerd: %w", err)
	}
	if len(records) == 0 {
		return images.Image{}, fmt.Errorf("%s: %w", r.Digest, errdefs.ErrNotFound)
	}
	return records[0], nil
}

// isHex reports whether s may be the beginning of a digest's hexadecimal part.
func isHex(s string) bool {
	return s != "" && strings.Trim(s, "0123456789abcdef") == ""
}
