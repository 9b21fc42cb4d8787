package images

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/muster/muster/proto/image"
)

// Remove forgets the image with that name, or every name of that digest, and
// returns what was removed. An image that containers are made from stays
// unless force is set; they keep running all the same.
func (s *Store) Remove(ctx context.Context, name string, force bool) ([]string, error) {
	ctx = s.inNamespace(ctx)
	records, err := s.match(ctx, name)
	if err != nil {
		return nil, err
	}
	used, err := s.usedBy(ctx)
	if err != nil {
		return nil, err
	}
	var removed []string
	var errs []error
	for _, record := range records {
		if n := len(used[record.Name]); n > 0 && !force {
			errs = append(errs, fmt.Errorf("image %q: containers of this node use it (%d); --force removes it anyway: %w",
				image.Familiar(record.Name), n, errdefs.ErrFailedPrecondition))
			continue
		}
		err := s.cfg.Client.ImageService().Delete(ctx, record.Name, images.SynchronousDelete())
		if err != nil && !errdefs.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("image %q: remove: %w", image.Familiar(record.Name), err))
			continue
		}
		s.Forget(&Image{Digest: record.Target.Digest})
		removed = append(removed, record.Name)
	}
	if len(removed) > 0 {
		s.notify()
	}
	return removed, errors.Join(errs...)
}

// match finds the records that name stands for: a reference, a digest, or the
// beginning of one as lists show it.
func (s *Store) match(ctx context.Context, name string) ([]images.Image, error) {
	service := s.cfg.Client.ImageService()
	if dgst, err := digest.Parse(name); err == nil {
		records, err := service.List(ctx, fmt.Sprintf("target.digest==%s", dgst))
		if err == nil && len(records) == 0 {
			err = fmt.Errorf("image %q is not on this node: %w", name, errdefs.ErrNotFound)
		}
		return records, err
	}
	record, err := s.named(ctx, name)
	if err == nil {
		return []images.Image{record}, nil
	}
	if !isHex(name) || !errdefs.IsNotFound(err) && !errdefs.IsInvalidArgument(err) {
		return nil, err
	}
	records, listErr := service.List(ctx, fmt.Sprintf("target.digest~=%q", "^sha256:"+name))
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

// named finds the record of a reference.
func (s *Store) named(ctx context.Context, name string) (images.Image, error) {
	r, err := image.Parse(name)
	if err != nil {
		return images.Image{}, err
	}
	wanted := r.Name()
	if r.IsPinned() {
		wanted = r.Exact()
	}
	record, err := s.cfg.Client.ImageService().Get(ctx, wanted)
	if errdefs.IsNotFound(err) {
		err = fmt.Errorf("image %q is not on this node: %w", name, errdefs.ErrNotFound)
	}
	return record, err
}

// isHex reports whether s may be the beginning of a digest's hexadecimal part.
func isHex(s string) bool {
	return s != "" && strings.Trim(s, "0123456789abcdef") == ""
}
