package service

import (
	"context"
	"slices"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/image"
	"github.com/muster/muster/proto/pod"
	"github.com/muster/muster/raftstore/state"
)

// Images finds out which content an image reference stands for.
type Images interface {
	Resolve(ctx context.Context, s *state.State, ref, auth string) (*clusterpb.ResolvedImage, error)
}

// resolve finds out which content the images of next stand for, so that every
// replica runs the same however late it starts. old is the service before, nil
// for a new one; what is not asked about stays as it is known there. An image
// that names its digest needs no asking.
func (s *Server) resolve(
	ctx context.Context, st *state.State, old *clusterpb.Service, next *clusterpb.ServiceSpec, which controlpb.ResolveImages,
) (resolved []*clusterpb.ResolvedImage, err error) {
	for _, c := range next.GetTask().GetContainers() {
		ref, err := image.Parse(c.GetImage())
		if err != nil {
			return nil, err
		}
		if ref.IsPinned() || pod.Resolved(resolved, c.GetImage()) != nil {
			continue
		}
		r := pod.Resolved(old.GetImages(), c.GetImage())
		if asks(which, old, c.GetImage()) {
			if r, err = s.Images.Resolve(ctx, st, c.GetImage(), c.GetRegistryAuth()); err != nil {
				return nil, err
			}
		}
		if r != nil {
			resolved = append(resolved, r)
		}
	}
	return resolved, nil
}

// asks reports whether the image is one of those to be asked about.
func asks(which controlpb.ResolveImages, old *clusterpb.Service, name string) bool {
	switch which {
	case controlpb.ResolveImages_RESOLVE_IMAGES_ALWAYS:
		return true
	case controlpb.ResolveImages_RESOLVE_IMAGES_NEVER:
		return false
	case controlpb.ResolveImages_RESOLVE_IMAGES_UNSPECIFIED, controlpb.ResolveImages_RESOLVE_IMAGES_CHANGED:
	}
	return !slices.ContainsFunc(old.GetSpec().GetTask().GetContainers(), func(c *clusterpb.ContainerSpec) bool {
		return c.GetImage() == name
	})
}
