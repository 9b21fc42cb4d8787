package image

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/logprint"
	"github.com/muster/muster/cli/noun"
	"github.com/muster/muster/cli/render"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/image"
)

// listFilters are Docker's for what this list tells of an image.
func listFilters(now func() time.Time) []noun.Filter[*controlpb.LocalImage] {
	return []noun.Filter[*controlpb.LocalImage]{
		{Key: "before"}, // this and since are relative to an image of the list: see bounds
		noun.Word("dangling", func(i *controlpb.LocalImage) string {
			_, tag := split(i.GetName())
			return strconv.FormatBool(tag == none)
		}, "true", "false"),
		noun.Labels("label", (*controlpb.LocalImage).GetLabels),
		{Key: "reference", Check: checkReferences, Match: func(f render.Filters, i *controlpb.LocalImage) bool {
			return len(f["reference"]) == 0 || slices.ContainsFunc(f["reference"], func(p string) bool { return fits(p, i.GetName()) })
		}},
		{Key: "since"},
		{Key: "until", Check: func(f render.Filters) error {
			_, err := untils(f, now())
			return err
		}},
	}
}

// untils reads the times of until.
func untils(f render.Filters, now time.Time) (list []time.Time, err error) {
	for _, v := range f["until"] {
		t, err := logprint.ParseTime(v, now)
		if err != nil {
			return nil, command.Misusef("--filter %q: until %w", "until="+v, err)
		}
		list = append(list, t)
	}
	return list, nil
}

// bounds says when images were built that before, since and until let through:
// all values of a key count, as in Docker. An image that does not say when it
// was built is the oldest.
func bounds(f render.Filters, all []*controlpb.LocalImage, now time.Time) (within func(*controlpb.LocalImage) bool, err error) {
	before, err := untils(f, now)
	if err != nil {
		return nil, err
	}
	var after []time.Time
	for key, into := range map[string]*[]time.Time{"before": &before, "since": &after} {
		for _, v := range f[key] {
			i, err := find(all, v)
			if err != nil {
				return nil, fmt.Errorf("--filter %q: %w", key+"="+v, err)
			}
			*into = append(*into, i.GetCreatedAt().AsTime())
		}
	}
	return func(i *controlpb.LocalImage) bool {
		built := i.GetCreatedAt().AsTime()
		return !slices.ContainsFunc(before, func(t time.Time) bool { return !built.Before(t) }) &&
			!slices.ContainsFunc(after, func(t time.Time) bool { return !built.After(t) })
	}, nil
}

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

// list finds all images, or those that a pattern of shells fits.
func list(ctx context.Context, node controlpb.ImageServiceClient, args []string, f render.Filters, now time.Time) ([]*controlpb.LocalImage, error) {
	if len(args) > 0 {
		if err := checkPattern(args[0]); err != nil {
			return nil, err
		}
	}
	all, err := command.Images(ctx, node)
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	within, err := bounds(f, all, now)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(i *controlpb.LocalImage) bool {
		return !within(i) || len(args) > 0 && !fits(args[0], i.GetName())
	}), nil
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
