package controlapi

import (
	"context"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/image"
	"github.com/muster/muster/proto/pod"
)

// pinImage adds to the spec's image the digest it stands for now, so that
// every replica runs the same content however late it starts.
func (s *Server) pinImage(ctx context.Context, want *clusterpb.ServiceSpec) error {
	c := pod.Main(want.GetTask())
	ref, err := image.Parse(c.GetImage())
	if err != nil || ref.IsPinned() {
		return err
	}
	resolved, err := s.Images.Resolve(ctx, s.Store.State(), c.GetImage(), c.GetRegistryAuth())
	if err != nil {
		return err
	}
	c.Image = resolved.Image
	if len(resolved.Platforms) > 0 {
		if want.Task.Placement == nil {
			want.Task.Placement = &clusterpb.Placement{}
		}
		want.Task.Placement.Platforms = resolved.Platforms
	}
	return nil
}
