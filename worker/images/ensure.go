package images

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// Ensure returns the image that name stands for, ready to run: the one that is
// here, else the copy of the nodes that source names, else the registry's. A
// name with a digest means exactly that content. Callers that want the same image share
// one transfer.
func (s *Store) Ensure(ctx context.Context, name string, source Source, auth string,
	progress func(Progress),
) (*Image, error) {
	r, err := parse(name)
	if err != nil {
		return nil, err
	}
	ctx = s.inNamespace(ctx)
	if img := s.remembered(r); img != nil {
		return img, nil
	}
	return s.flights.do(ctx, flightKey(r), progress, func(ctx context.Context, progress func(Progress)) (*Image, error) {
		record, err := s.find(ctx, r)
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
	r, err := parse(name)
	if err != nil {
		return nil, err
	}
	ctx = s.inNamespace(ctx)
	img, err := s.flights.do(ctx, "pull "+flightKey(r), progress, func(ctx context.Context, progress func(Progress)) (*Image, error) {
		record, err := s.fromRegistry(ctx, r, auth, taggedNow(), progress)
		if err != nil {
			return nil, fmt.Errorf("image %q: %w", name, err)
		}
		return s.prepare(ctx, record)
	})
	if err != nil {
		return nil, err
	}
	s.notify()
	record, err := s.cfg.Client.ImageService().Get(ctx, img.Name)
	if err != nil {
		return nil, fmt.Errorf("image %q: %w", name, err)
	}
	return s.held(ctx, record), nil
}

func flightKey(r ref) string {
	if r.digest != "" {
		return r.digest.String()
	}
	return r.name
}

// remembered returns an image that is known to be here by its digest.
func (s *Store) remembered(r ref) *Image {
	if r.digest == "" {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ready[r.digest]
}

// find looks in the local store: by digest if the reference has one, whatever
// name the content is kept under, else by name.
func (s *Store) find(ctx context.Context, r ref) (images.Image, error) {
	service := s.cfg.Client.ImageService()
	if r.digest == "" {
		return service.Get(ctx, r.name)
	}
	records, err := service.List(ctx, fmt.Sprintf("target.digest==%s", r.digest))
	if err != nil {
		return images.Image{}, fmt.Errorf("look for it in containerd: %w", err)
	}
	if len(records) == 0 {
		return images.Image{}, fmt.Errorf("%s: %w", r.digest, errdefs.ErrNotFound)
	}
	return records[0], nil
}

// fetch tries other nodes and then the registry.
func (s *Store) fetch(ctx context.Context, r ref, source Source, auth string, progress func(Progress)) (images.Image, error) {
	var errPeers error
	if source.holds(r) && s.cfg.Fetcher != nil {
		record, err := s.fromPeers(ctx, s.keepAs(ctx, r, source.Digest), source, progress)
		if err == nil {
			s.notify()
			return record, nil
		}
		if ctx.Err() != nil {
			return images.Image{}, context.Cause(ctx)
		}
		errPeers = fmt.Errorf("other nodes: %w", err)
		s.cfg.Log.WarnContext(ctx, "cannot fetch image from other nodes, will try its registry", "image", r.name, "err", err)
	}
	record, err := s.fromRegistry(ctx, r, auth, nil, progress)
	if err == nil {
		s.notify()
		return record, nil
	}
	if ctx.Err() != nil {
		return images.Image{}, context.Cause(ctx)
	}
	if errPeers == nil {
		errPeers = errors.New("no node of the cluster holds it")
	}
	return images.Image{}, fmt.Errorf(
		`%w; %w; load it with "muster image load" on any node, or check the name`, err, errPeers)
}

// holds reports whether what the source's nodes hold is what r means.
func (s Source) holds(r ref) bool {
	return len(s.Addrs) > 0 && (r.digest == "" || s.Digest == r.digest)
}

// keepAs is the name for a copy of digest dgst: the reference's tag, unless
// that stands for something else on this node.
func (s *Store) keepAs(ctx context.Context, r ref, dgst digest.Digest) string {
	record, err := s.cfg.Client.ImageService().Get(ctx, r.name)
	if errdefs.IsNotFound(err) || (err == nil && record.Target.Digest == dgst) {
		return r.name
	}
	r.digest = dgst
	return r.pinned()
}
