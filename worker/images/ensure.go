package images

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/image"
)

// Ensure returns the image that name stands for, ready to run: the one that is
// here, else the copy of the nodes that source names, else the registry's. A
// name with a digest means exactly that content. Callers that want the same image share
// one transfer.
func (s *Store) Ensure(ctx context.Context, name string, source Source, auth string,
	progress func(Progress),
) (*Image, error) {
	r, err := image.Parse(name)
	if err != nil {
		return nil, err
	}
	ctx = s.inNamespace(ctx)
	if img := s.remembered(r); img != nil {
		return img, nil
	}
	return s.flights.do(ctx, subject{contentKey(r), auth}, progress, func(ctx context.Context, progress func(Progress)) (*Image, error) {
		record, err := s.records().find(ctx, r)
		if errdefs.IsNotFound(err) {
			record, err = s.fetch(ctx, r, source, auth, progress)
		}
		if err != nil {
			return nil, fmt.Errorf("image %q: %w", name, err)
		}
		return s.prepare(ctx, record)
	})
}

// Pull brings the image that name stands for in its registry, whatever is
// here. Only a name with a digest that is here already is left alone.
func (s *Store) Pull(ctx context.Context, name, auth string, progress func(Progress)) (*clusterpb.NodeImage, error) {
	r, err := image.Parse(name)
	if err != nil {
		return nil, err
	}
	ctx = s.inNamespace(ctx)
	_, err = s.flights.do(ctx, subject{"pull " + contentKey(r), auth}, progress, func(ctx context.Context, progress func(Progress)) (*Image, error) {
		record, err := s.fromRegistry(ctx, r, auth, progress)
		if err != nil {
			return nil, fmt.Errorf("image %q: %w", name, err)
		}
		img, err := s.prepare(ctx, record)
		if err != nil {
			return nil, err
		}
		_, err = s.records().bind(ctx, r, record.Target, taggedNow())
		return img, err
	})
	if err != nil {
		return nil, err
	}
	s.notify()
	record, err := s.records().Get(ctx, r.Name())
	if err != nil {
		return nil, fmt.Errorf("image %q: %w", name, err)
	}
	return s.held(ctx, record), nil
}

// contentKey is the content that r means, or what is called so.
func contentKey(r image.Ref) string {
	if r.IsPinned() {
		return r.Digest.String()
	}
	return r.Name()
}

// remembered returns an image that is known to be here by its digest.
func (s *Store) remembered(r image.Ref) *Image {
	if !r.IsPinned() {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ready[r.Digest]
}

// fetch tries other nodes and then the registry.
func (s *Store) fetch(ctx context.Context, r image.Ref, source Source, auth string, progress func(Progress)) (images.Image, error) {
	var errPeers error
	if source.holds(r) && s.cfg.Fetcher != nil {
		record, err := s.fromPeers(ctx, r, source, progress)
		if err == nil {
			record, err = s.records().adopt(ctx, r, record.Target, source.Loaded)
		}
		if err == nil {
			s.notify()
			return record, nil
		}
		if ctx.Err() != nil {
			return images.Image{}, context.Cause(ctx)
		}
		errPeers = fmt.Errorf("other nodes: %w", err)
		s.cfg.Log.WarnContext(ctx, "cannot fetch image from other nodes, will try its registry", "image", r.Name(), "err", err)
	}
	record, err := s.fromRegistry(ctx, r, auth, progress)
	if err == nil {
		record, err = s.records().adopt(ctx, r, record.Target, false)
	}
	if err == nil {
		s.notify()
		return record, nil
	}
	if ctx.Err() != nil {
		return images.Image{}, context.Cause(ctx)
	}
	if errPeers == nil {
		errPeers = errors.New("no node holds it")
	}
	return images.Image{}, fmt.Errorf("%w, %s (%w)", err, image.LoadRemedy, errPeers)
}

// holds reports whether what the source's nodes hold is what r means.
func (s Source) holds(r image.Ref) bool {
	return len(s.Addrs) > 0 && (!r.IsPinned() || s.Digest == r.Digest)
}
