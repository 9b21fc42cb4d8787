package images

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/muster/muster/proto/image"
)

// Remove forgets the image with that name, or every name of that digest, and
// returns what was removed. The content goes with its last tag. An image that
// containers are made from stays unless force is set; then its content stays
// for as long as they do. So does one that the cluster needs.
func (s *Store) Remove(ctx context.Context, name string, force bool) ([]string, error) {
	ctx = s.inNamespace(ctx)
	records, err := s.records().match(ctx, name)
	if err != nil {
		return nil, err
	}
	used, err := s.usedBy(ctx)
	if err != nil {
		return nil, err
	}
	all, err := s.records().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	var removed []string
	var errs []error
	for _, r := range removals(records, all) {
		names, err := s.remove(ctx, r, len(used[r.content]), force)
		removed, errs = append(removed, names...), append(errs, err)
	}
	if len(removed) > 0 {
		s.notify()
	}
	return removed, errors.Join(errs...)
}

// removal is what is to go of one content.
type removal struct {
	content digest.Digest
	// asked are the records to remove, tags first; rest keep the content and
	// go as well, if no tag is left.
	asked, rest []images.Image
	// left is a tag that stays, "" for none.
	left string
}

// removals sorts what is asked for by content.
func removals(asked, all []images.Image) (list []removal) {
	for _, record := range asked {
		content := record.Target.Digest
		if slices.ContainsFunc(list, func(r removal) bool { return r.content == content }) {
			continue
		}
		r := removal{content: content}
		for _, other := range all {
			going := slices.ContainsFunc(asked, func(i images.Image) bool { return i.Name == other.Name })
			switch tag := keptAs(other) != other.Name; {
			case other.Target.Digest != content:
			case tag && going:
				r.asked = append(r.asked, other)
			case tag:
				r.left = other.Name
			default:
				r.rest = append(r.rest, other)
			}
		}
		if len(r.asked) == 0 { // content without a tag is asked for by its own name
			r.asked, r.rest = r.rest, nil
		}
		list = append(list, r)
	}
	return list
}

// remove carries out a removal and returns the names that are gone.
func (s *Store) remove(ctx context.Context, r removal, users int, force bool) (removed []string, err error) {
	first := r.asked[0]
	tagged := keptAs(first) != first.Name
	switch {
	case !tagged && r.left != "":
		return nil, fmt.Errorf("image %q: %s stands for it: remove that: %w",
			image.Familiar(first.Name), image.Familiar(r.left), errdefs.ErrFailedPrecondition)
	case r.left == "" && users > 0 && !force:
		return nil, fmt.Errorf("image %q: containers of this node use it (%d); --force removes its name all the same: %w",
			image.Familiar(first.Name), users, errdefs.ErrFailedPrecondition)
	case r.left == "" && s.keeper.needs(r.content) && !force:
		return nil, fmt.Errorf("image %q: a service of the cluster, its history or a task names it, or it was loaded on another node; "+
			"--force removes it from this node all the same: %w", image.Familiar(first.Name), errdefs.ErrFailedPrecondition)
	case !tagged && users > 0:
		return nil, fmt.Errorf("image %q: containers of this node use it (%d), and it goes with them: %w",
			image.Familiar(first.Name), users, errdefs.ErrFailedPrecondition)
	}
	defer s.Forget(&Image{Digest: r.content})
	for _, record := range r.asked {
		if err := s.records().drop(ctx, record); err != nil {
			return removed, err
		}
		removed = append(removed, record.Name)
	}
	if r.left != "" || users > 0 {
		return removed, nil
	}
	for _, record := range r.rest {
		if err := s.records().drop(ctx, record); err != nil {
			return removed, err
		}
	}
	return removed, nil
}
