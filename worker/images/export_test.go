package images

import (
	"context"

	"github.com/opencontainers/go-digest"
)

// Shelf is the shelf of a store as the tests with a containerd use it.
type Shelf struct{ s *Store }

func ShelfOf(s *Store) Shelf { return Shelf{s} }

func (h Shelf) Copy(ctx context.Context, name string, source Source) error {
	return stock{h.s}.copy(h.s.inNamespace(ctx), name, source)
}

func (h Shelf) Spare(ctx context.Context) ([]digest.Digest, error) {
	return stock{h.s}.spare(h.s.inNamespace(ctx))
}

func (h Shelf) Discard(ctx context.Context, content digest.Digest) error {
	return stock{h.s}.discard(h.s.inNamespace(ctx), content)
}
