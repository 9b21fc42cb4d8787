package plan

import (
	"cmp"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/image"
	"github.com/muster/muster/proto/lifecycle"
)

const (
	// copies is how many nodes hold an image that no registry need have.
	copies = 2
	// maxFetches is how many images a node is told to fetch at a time; the next
	// follow when it holds them.
	maxFetches = 20
)

// upkeep is which images each node should hold. It is immutable.
type upkeep struct {
	byNode map[string]*dispatchpb.ImageOrders
}

// stock is what the cluster holds of one content.
type stock struct {
	name     string            // a name that says most: with a tag if there is one
	loaded   bool              // it came from an archive
	loadedOn []string          // where a user gave it to the cluster, even if that node is down
	holders  []*clusterpb.Node // that are not down
	named    bool              // by a service
}

// next returns the upkeep of nodes, which is u itself if nothing differs.
func (u *upkeep) next(v View, n *named) *upkeep {
	stocks := takeStock(v, n)
	orders := make(map[string]*dispatchpb.ImageOrders)
	for node := range v.Nodes() {
		orders[node.GetId()] = keeps(node, stocks)
	}
	for _, digest := range slices.Sorted(maps.Keys(stocks)) {
		spread(v, digest, stocks[digest], orders)
	}
	same := u != nil && len(orders) == len(u.byNode)
	for id, o := range orders {
		if u != nil && proto.Equal(u.byNode[id], o) {
			orders[id] = u.byNode[id]
			continue
		}
		same = false
	}
	if same {
		return u
	}
	return &upkeep{orders}
}

// of returns a node's orders, never nil.
func (u *upkeep) of(nodeID string) *dispatchpb.ImageOrders {
	if o := u.byNode[nodeID]; o != nil {
		return o
	}
	return &dispatchpb.ImageOrders{}
}

func takeStock(v View, n *named) map[string]*stock {
	stocks := make(map[string]*stock)
	for node := range v.Nodes() {
		for _, img := range node.GetImages() {
			s := stocks[img.GetDigest()]
			if s == nil {
				s = &stock{name: img.GetName()}
				stocks[img.GetDigest()] = s
			}
			s.take(node, img, n)
		}
	}
	return stocks
}

func (s *stock) take(node *clusterpb.Node, img *clusterpb.NodeImage, n *named) {
	if saysMore(img.GetName(), s.name) {
		s.name = img.GetName()
	}
	s.named = s.named || n.has(img.GetName(), img.GetDigest())
	s.loaded = s.loaded || img.GetLoaded()
	if image.Given(img) {
		s.loadedOn = append(s.loadedOn, node.GetId())
	}
	if !lifecycle.Down(node) && !slices.Contains(s.holders, node) {
		s.holders = append(s.holders, node)
	}
}

// saysMore prefers names with a tag, then the lowest.
func saysMore(a, b string) bool {
	_, inA := nameAndDigest(a)
	_, inB := nameAndDigest(b)
	return cmp.Or(cmp.Compare(inA, inB), cmp.Compare(a, b)) < 0
}

// keeps returns which of its images a node has to keep.
func keeps(node *clusterpb.Node, stocks map[string]*stock) *dispatchpb.ImageOrders {
	o := &dispatchpb.ImageOrders{}
	for _, img := range node.GetImages() {
		s := stocks[img.GetDigest()]
		elsewhere := slices.ContainsFunc(s.loadedOn, func(id string) bool { return id != node.GetId() })
		if s.named || elsewhere {
			o.Keep = append(o.Keep, img.GetDigest())
		}
	}
	slices.Sort(o.Keep)
	o.Keep = slices.Compact(o.Keep)
	return o
}

// spread has as many nodes hold an image from an archive as should. Which they
// are follows from the image, so that each state says the same.
func spread(v View, digest string, s *stock, orders map[string]*dispatchpb.ImageOrders) {
	if !s.loaded || (!s.named && len(s.loadedOn) == 0) || len(s.holders) >= copies {
		return
	}
	addrs := s.addrs()
	ref, err := image.Parse(s.name)
	if err != nil || len(addrs) == 0 {
		return
	}
	var able []*clusterpb.Node
	for node := range v.Nodes() {
		if s.suits(node) && len(orders[node.GetId()].GetFetch()) < maxFetches {
			able = append(able, node)
		}
	}
	slices.SortFunc(able, func(a, b *clusterpb.Node) int {
		return cmp.Or(cmp.Compare(distance(digest, a.GetId()), distance(digest, b.GetId())), cmp.Compare(a.GetId(), b.GetId()))
	})
	ref.Digest = ""
	for _, node := range able[:min(len(able), copies-len(s.holders))] {
		o := orders[node.GetId()]
		o.Fetch = append(o.Fetch, &dispatchpb.ImageSource{
			Image: ref.String() + "@" + digest, Digest: digest, Addrs: addrs, Loaded: true,
		})
	}
}

// addrs are where the image can be fetched from.
func (s *stock) addrs() (addrs []string) {
	for _, h := range s.holders {
		if addr := h.GetDescription().GetControlAddr(); lifecycle.Connected(h) && addr != "" {
			addrs = append(addrs, addr)
		}
	}
	return addrs
}

// suits reports whether a node should get a copy: it is well, has none, and is
// a machine like one that holds the image.
func (s *stock) suits(node *clusterpb.Node) bool {
	if !lifecycle.Well(node) || slices.Contains(s.holders, node) {
		return false
	}
	return slices.ContainsFunc(s.holders, func(h *clusterpb.Node) bool {
		return proto.Equal(h.GetDescription().GetPlatform(), node.GetDescription().GetPlatform())
	})
}
