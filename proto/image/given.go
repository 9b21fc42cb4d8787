package image

import clusterpb "github.com/muster/muster/proto/cluster/v1"

// Given reports whether a user gave the image to the cluster on the node that
// holds it. Other nodes have copies at most, which do not say what a name stands
// for.
func Given(i *clusterpb.NodeImage) bool { return i.GetLoaded() && i.GetTaggedAt() > 0 }
