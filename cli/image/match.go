package image

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/render"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/image"
)

// find returns the image that a reference, a digest or the beginning of an ID
// stands for.
func find(all []*controlpb.LocalImage, name string) (*controlpb.LocalImage, error) {
	ref, err := image.Parse(name)
	hex := strings.TrimPrefix(name, "sha256:")
	if err == nil && ref.IsPinned() {
		hex = ref.Digest.Encoded()
	}
	for _, i := range all {
		if err == nil && !ref.IsPinned() && i.GetName() == ref.Name() {
			return i, nil
		}
	}
	for _, i := range all {
		if hex != "" && strings.HasPrefix(i.GetDigest(), "sha256:"+hex) {
			return i, nil
		}
	}
	return nil, fmt.Errorf("image %q is not on this node: %w", name, errdefs.ErrNotFound)
}

func checkReferences(f render.Filters) error {
	for _, p := range f["reference"] {
		if err := checkPattern(p); err != nil {
			return err
		}
	}
	return nil
}

func checkPattern(p string) error {
	if _, err := path.Match(p, ""); err != nil {
		return command.Misusef("pattern %q: %w: want REPOSITORY[:TAG], in which * ? and [a-z] stand for others", p, err)
	}
	return nil
}

// fits reports whether a well-formed pattern fits a full name, as it is or as
// people write it, with its tag or digest or without.
func fits(pattern, name string) bool {
	forms := []string{name}
	if ref, err := image.Parse(name); err == nil {
		forms = append(forms, ref.Repository, ref.Familiar(), ref.FamiliarName())
		if ref.Tag == "" {
			forms = append(forms, ref.FamiliarName()+":"+none)
		}
	}
	return slices.ContainsFunc(forms, func(form string) bool {
		fit, err := path.Match(pattern, form)
		return err == nil && fit
	})
}
