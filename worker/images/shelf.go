package images

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/image"
)

var _ shelf = stock{}

// Order tells which images managers want the node to hold.
func (s *Store) Order(o *dispatchpb.ImageOrders) { s.keeper.order(o) }

// Run carries out what managers order until ctx is done.
func (s *Store) Run(ctx context.Context) error { return s.keeper.run(s.inNamespace(ctx)) }

// stock is the Store as its keeper sees it.
type stock struct{ *Store }

func (s stock) copy(ctx context.Context, name string, source Source) error {
	r, err := image.Parse(name)
	if err != nil {
		return err
	}
	if r.Digest != source.Digest || !source.holds(r) || s.cfg.Fetcher == nil {
		return fmt.Errorf("image %q: managers name no node to fetch it from: %w", name, errdefs.ErrInvalidArgument)
	}
	if _, err := s.records().find(ctx, r); !errdefs.IsNotFound(err) {
		return err
	}
	_, err = s.flights.do(ctx, subject{"copy " + contentKey(r), ""}, func(Progress) {}, func(ctx context.Context, progress func(Progress)) (*Image, error) {
		record, err := s.fromPeers(ctx, r, source, progress)
		if err == nil {
			_, err = s.records().adopt(ctx, r, record.Target, source.Loaded)
		}
		return nil, err
	})
	if err == nil {
		s.notify()
	}
	return err
}

func (s stock) spare(ctx context.Context) (list []digest.Digest, err error) {
	records, err := s.records().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	used, err := s.usedBy(ctx)
	if err != nil {
		return nil, err
	}
	ours := make(map[digest.Digest]bool)
	for _, record := range records {
		content := record.Target.Digest
		byUser := record.Labels[taggedAtLabel] != ""
		before, known := ours[content]
		ours[content] = (before || !known) && !byUser && len(used[content]) == 0
	}
	for content, spare := range ours {
		if spare {
			list = append(list, content)
		}
	}
	return list, nil
}

func (s stock) discard(ctx context.Context, content digest.Digest) error {
	records, err := s.records().List(ctx, fmt.Sprintf("target.digest==%s", content))
	if err != nil {
		return fmt.Errorf("list images: %w", err)
	}
	defer s.Forget(&Image{Digest: content})
	for _, record := range records {
		if record.Labels[taggedAtLabel] != "" {
			return fmt.Errorf("image %q was named on this node: %w", image.Familiar(record.Name), errdefs.ErrFailedPrecondition)
		}
		if err := s.records().drop(ctx, record); err != nil {
			return err
		}
	}
	s.notify()
	return nil
}
