package plan

import (
	"cmp"
	"hash/fnv"
	"iter"
	"slices"

	"google.golang.org/protobuf/proto"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/image"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/pod"
)

// maxSources is how many nodes a node is told to fetch one image from.
const maxSources = 5

// sources knows which ready nodes hold which images. It is immutable.
type sources struct {
	byName   map[string][]holder
	byDigest map[string][]holder
}

// holder is a node that holds an image.
type holder struct {
	nodeID, addr, digest string
	loaded               bool
}

func newSources(nodes iter.Seq[*clusterpb.Node]) *sources {
	s := &sources{byName: make(map[string][]holder), byDigest: make(map[string][]holder)}
	for n := range nodes {
		if !lifecycle.Connected(n) || n.GetDescription().GetControlAddr() == "" {
			continue
		}
		for _, img := range n.GetImages() {
			h := holder{nodeID: n.GetId(), addr: n.GetDescription().GetControlAddr(), digest: img.GetDigest(), loaded: img.GetLoaded()}
			s.byName[img.GetName()] = append(s.byName[img.GetName()], h)
			s.byDigest[img.GetDigest()] = append(s.byDigest[img.GetDigest()], h)
		}
	}
	return s
}

// of returns where a node can fetch the images of its tasks that are not
// prepared yet, by task and in the order of their containers. Tasks without
// any are not in it.
func (s *sources) of(nodeID string, tasks map[string]*clusterpb.Task) map[string][]*dispatchpb.ImageSource {
	byRef := make(map[string]*dispatchpb.ImageSource)
	byTask := make(map[string][]*dispatchpb.ImageSource)
	for id, t := range tasks {
		if !isUnprepared(t) {
			continue
		}
		for _, c := range t.GetSpec().GetContainers() {
			ref := pod.Pinned(t.GetImages(), c.GetImage())
			src, known := byRef[ref]
			if !known {
				src = s.lookup(nodeID, ref)
				byRef[ref] = src
			}
			if src != nil && !slices.Contains(byTask[id], src) {
				byTask[id] = append(byTask[id], src)
			}
		}
	}
	return byTask
}

func sameSources(a, b []*dispatchpb.ImageSource) bool {
	return slices.EqualFunc(a, b, func(a, b *dispatchpb.ImageSource) bool { return a == b || proto.Equal(a, b) })
}

// isUnprepared reports whether t still needs its image.
func isUnprepared(t *clusterpb.Task) bool {
	return lifecycle.Wanted(t) && t.GetStatus().GetState() < lifecycle.Ready
}

// lookup returns the other nodes that hold the image that ref means, or nil.
func (s *sources) lookup(nodeID, ref string) *dispatchpb.ImageSource {
	name, digest := nameAndDigest(ref)
	holders := s.byDigest[digest]
	if digest == "" {
		holders = s.byName[name]
		digest = commonDigest(holders)
	}
	seen := make(map[string]bool)
	var others []holder
	for _, h := range holders {
		if h.nodeID != nodeID && h.digest == digest && !seen[h.nodeID] {
			seen[h.nodeID] = true
			others = append(others, h)
		}
	}
	if len(others) == 0 {
		return nil
	}
	// Each node has an order of its own, so that not all ask the same one.
	slices.SortFunc(others, func(a, b holder) int {
		return cmp.Or(cmp.Compare(distance(nodeID, a.nodeID), distance(nodeID, b.nodeID)), cmp.Compare(a.nodeID, b.nodeID))
	})
	src := &dispatchpb.ImageSource{Image: ref, Digest: digest}
	for i, h := range others {
		if i < maxSources {
			src.Addrs = append(src.Addrs, h.addr)
		}
		src.Loaded = src.Loaded || h.loaded
	}
	return src
}

// nameAndDigest returns a reference in full ("docker.io/library/nginx:latest"),
// and the digest it is pinned to, if any.
func nameAndDigest(ref string) (name, digest string) {
	r, err := image.Parse(ref)
	if err != nil {
		return ref, ""
	}
	return r.Name(), r.Digest.String()
}

// commonDigest returns the digest most holders have; on a tie the lowest.
func commonDigest(holders []holder) (best string) {
	count := make(map[string]int)
	for _, h := range holders {
		count[h.digest]++
	}
	for d, n := range count {
		if n > count[best] || (n == count[best] && d < best) {
			best = d
		}
	}
	return best
}

func distance(a, b string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(a + "/" + b)) // never fails
	return h.Sum64()
}
