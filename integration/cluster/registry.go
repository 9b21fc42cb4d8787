package cluster

import (
	"context"
	"sync"

	"github.com/muster/muster/manager/api/service"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/raftstore/state"
)

// Registry knows which content images stand for: what they are called, until
// their tag moves.
type Registry struct {
	mu    sync.Mutex
	moved map[string]string
}

var _ service.Images = (*Registry)(nil)

func newRegistry() *Registry { return &Registry{moved: make(map[string]string)} }

// MoveTag makes an image stand for other content from now on.
func (r *Registry) MoveTag(image, pinned string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.moved[image] = pinned
}

// Resolve implements service.Images.
func (r *Registry) Resolve(_ context.Context, _ *state.State, image, _ string) (*clusterpb.ResolvedImage, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pinned, ok := r.moved[image]
	if !ok {
		pinned = image
	}
	return &clusterpb.ResolvedImage{Image: image, Pinned: pinned}, nil
}
