package dispatcher

import (
	"cmp"
	"hash/fnv"
	"iter"
	"slices"

	"github.com/distribution/reference"
	"google.golang.org/protobuf/proto"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
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
}

func newSources(nodes iter.Seq[*clusterpb.Node]) *sources {
	s := &sources{byName: make(map[string][]holder), byDigest: make(map[string][]holder)}
	for n := range nodes {
		if n.GetStatus().GetState() != clusterpb.NodeStatus_STATE_READY || n.GetDescription().GetControlAddr() == "" {
			continue
		}
		for _, img := range n.GetImages() {
			h := holder{nodeID: n.GetId(), addr: n.GetDescription().GetControlAddr(), digest: img.GetDigest()}
			s.byName[img.GetName()] = append(s.byName[img.GetName()], h)
			s.byDigest[img.GetDigest()] = append(s.byDigest[img.GetDigest()], h)
		}
	}
	return s
}

// of returns where a node can fetch the images of its tasks that are not
// prepared yet, by task. Tasks without any are not in it.
func (s *sources) of(nodeID string, tasks map[string]*clusterpb.Task) map[string][]*dispatchpb.ImageSource {
	byImage := make(map[string]*dispatchpb.ImageSource)
	byTask := make(map[string][]*dispatchpb.ImageSource)
	for id, t := range tasks {
		if !unprepared(t) {
			continue
		}
		image := pod.Main(t.GetSpec()).GetImage()
		src, known := byImage[image]
		if !known {
			src = s.lookup(nodeID, image)
			byImage[image] = src
		}
		if src != nil {
			byTask[id] = []*dispatchpb.ImageSource{src}
		}
	}
	return byTask
}

func sameSources(a, b []*dispatchpb.ImageSource) bool {
	return slices.EqualFunc(a, b, func(a, b *dispatchpb.ImageSource) bool { return a == b || proto.Equal(a, b) })
}

// unprepared reports whether t still needs its image.
func unprepared(t *clusterpb.Task) bool {
	return lifecycle.Wanted(t) && t.GetStatus().GetState() < lifecycle.Ready
}

// lookup returns the other nodes that hold image, or nil.
func (s *sources) lookup(nodeID, image string) *dispatchpb.ImageSource {
	name, digest := normal(image)
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
	src := &dispatchpb.ImageSource{Image: image, Digest: digest}
	for _, h := range others[:min(len(others), maxSources)] {
		src.Addrs = append(src.Addrs, h.addr)
	}
	return src
}

// normal returns image in full ("docker.io/library/nginx:latest"), and the
// digest it names, if any.
func normal(image string) (name, digest string) {
	ref, err := reference.ParseDockerRef(image)
	if err != nil {
		return image, ""
	}
	if d, ok := ref.(reference.Digested); ok {
		return ref.String(), d.Digest().String()
	}
	return ref.String(), ""
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
