package images

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	controlpb "github.com/muster/muster/proto/control/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/image"
)

// Users asks the cluster why an image has to stay. A node in no cluster gets an
// answer that names nobody.
type Users func(context.Context, *dispatchpb.FindImageUsersRequest) (*dispatchpb.FindImageUsersResponse, error)

// Remove forgets the image with that name, or every name of that digest, and
// returns what went. The content goes with its last tag. What containers are
// made from, or the cluster needs, stays unless force is set; then the content
// stays for as long as the containers do. What went before an error is returned
// with it.
func (s *Store) Remove(ctx context.Context, name string, force bool, users Users) (*controlpb.RemoveImageResponse, error) {
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
	went := &controlpb.RemoveImageResponse{}
	var errs []error
	for _, r := range removals(records, all) {
		r.containers = len(used[r.content])
		err := r.check(force)
		if err == nil && !force {
			err = r.mayGo(ctx, users)
		}
		if err == nil {
			err = s.remove(ctx, r, went)
		}
		errs = append(errs, err)
	}
	if len(went.GetUntagged()) > 0 {
		s.notify()
	}
	return went, errors.Join(errs...)
}

// removal is what is to go of one content.
type removal struct {
	content digest.Digest
	// asked are the records to remove, tags first; rest keep the content and
	// go as well, if no tag is left.
	asked, rest []images.Image
	// left is a tag that stays, "" for none.
	left string
	// containers is how many of the node's are made from it.
	containers int
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

// tagged reports whether tags are to go, and not content that has none.
func (r removal) tagged() bool { return keptAs(r.asked[0]) != r.asked[0].Name }

// check refuses what this node itself needs.
func (r removal) check(force bool) error {
	name := image.Familiar(r.asked[0].Name)
	switch {
	case !r.tagged() && r.left != "":
		return fmt.Errorf("image %q: %s stands for it: remove that: %w", name, image.Familiar(r.left), errdefs.ErrFailedPrecondition)
	case r.left == "" && r.containers > 0 && !force:
		return fmt.Errorf("conflict: image %q is used by containers of this node (%d); --force removes its name all the same: %w",
			name, r.containers, errdefs.ErrFailedPrecondition)
	case !r.tagged() && r.containers > 0:
		return fmt.Errorf("image %q: containers of this node use it (%d), and it goes with them: %w", name, r.containers, errdefs.ErrFailedPrecondition)
	}
	return nil
}

// mayGo refuses what the cluster needs, and what it cannot be asked about.
func (r removal) mayGo(ctx context.Context, users Users) error {
	question := &dispatchpb.FindImageUsersRequest{}
	for _, record := range r.asked {
		question.Names = append(question.Names, record.Name)
	}
	if r.left == "" {
		question.Digest = r.content.String()
	}
	name := image.Familiar(r.asked[0].Name)
	answer, err := users(ctx, question)
	switch {
	case err != nil:
		return fmt.Errorf("image %q: no manager says whether a service needs it; --force removes it from this node all the same: %w", name, err)
	case len(answer.GetServices()) > 0:
		return fmt.Errorf("conflict: image %q is used by %s; --force removes it from this node all the same: %w",
			name, list(answer), errdefs.ErrFailedPrecondition)
	case answer.GetElsewhere():
		return fmt.Errorf("conflict: image %q is a copy of what was loaded on another node, kept for when that is lost; "+
			"--force removes it from this node all the same: %w", name, errdefs.ErrFailedPrecondition)
	}
	return nil
}

// list tells which services use an image.
func list(a *dispatchpb.FindImageUsersResponse) string {
	word, more := "services ", ""
	if len(a.GetServices()) == 1 && a.GetMore() == 0 {
		word = "service "
	}
	if a.GetMore() > 0 {
		more = fmt.Sprintf(" (and %d more)", a.GetMore())
	}
	return word + strings.Join(a.GetServices(), ", ") + more
}

// remove carries out a removal and adds what is gone to went.
func (s *Store) remove(ctx context.Context, r removal, went *controlpb.RemoveImageResponse) error {
	defer s.Forget(&Image{Digest: r.content})
	for _, record := range r.asked {
		if err := s.records().drop(ctx, record); err != nil {
			return err
		}
		went.Untagged = append(went.Untagged, record.Name)
	}
	if r.left != "" || r.containers > 0 {
		return nil
	}
	for _, record := range r.rest {
		if err := s.records().drop(ctx, record); err != nil {
			return err
		}
	}
	went.Deleted = append(went.Deleted, r.content.String())
	return nil
}
