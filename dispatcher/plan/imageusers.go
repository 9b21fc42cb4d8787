package plan

import (
	"slices"

	"github.com/muster/muster/proto/image"
)

// ImageUsers returns the names of the services that need an image, in order and
// each once: their spec, their history or a task that has not ended names its
// content, or one of its names.
func ImageUsers(v View, digest string, names []string) (users []string) {
	called := make(map[string]string) // services by id, also those of which only tasks are left
	for t := range v.Tasks() {
		called[t.GetServiceId()] = t.GetServiceName()
	}
	for svc := range v.Services() {
		called[svc.GetId()] = svc.GetSpec().GetName()
	}
	for id, name := range called {
		if slices.ContainsFunc(namedBy(v, id), func(n string) bool { return n == digest || slices.Contains(names, n) }) {
			users = append(users, name)
		}
	}
	slices.Sort(users)
	return slices.Compact(users)
}

// GivenElsewhere reports whether a user gave the content to other nodes and not
// to this one, which has a copy at most.
func GivenElsewhere(v View, nodeID, digest string) bool {
	elsewhere := false
	for node := range v.Nodes() {
		for _, img := range node.GetImages() {
			if img.GetDigest() != digest || !image.Given(img) {
				continue
			}
			if node.GetId() == nodeID {
				return false
			}
			elsewhere = true
		}
	}
	return elsewhere
}
