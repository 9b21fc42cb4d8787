package pod

import (
	"slices"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// Resolved returns what a spec's image was resolved to, or nil when it was not.
func Resolved(resolved []*clusterpb.ResolvedImage, image string) *clusterpb.ResolvedImage {
	at := slices.IndexFunc(resolved, func(r *clusterpb.ResolvedImage) bool { return r.GetImage() == image })
	if at < 0 {
		return nil
	}
	return resolved[at]
}

// Pinned returns what nodes fetch for a spec's image: the reference with its
// digest, or the image as it is when it was not resolved.
func Pinned(resolved []*clusterpb.ResolvedImage, image string) string {
	if r := Resolved(resolved, image); r != nil {
		return r.GetPinned()
	}
	return image
}
