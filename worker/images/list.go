package images

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/images/usage"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	"google.golang.org/protobuf/types/known/timestamppb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
)

// Held returns the images of the node as it reports them to managers.
func (s *Store) Held(ctx context.Context) ([]*clusterpb.NodeImage, error) {
	ctx = s.inNamespace(ctx)
	records, err := s.cfg.Client.ImageService().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	records = named(records)
	held := make([]*clusterpb.NodeImage, 0, len(records))
	for _, record := range records {
		held = append(held, s.held(ctx, record))
	}
	return held, nil
}

// List returns the records of the images of the node, ordered by name, and what
// describes one as its user sees it. That reads the image's content, so it is for
// those alone that are shown.
func (s *Store) List(ctx context.Context) (records []images.Image, view func(images.Image) *controlpb.LocalImage, err error) {
	ctx = s.inNamespace(ctx)
	if records, err = s.cfg.Client.ImageService().List(ctx); err != nil {
		return nil, nil, fmt.Errorf("list images: %w", err)
	}
	used, err := s.usedBy(ctx)
	if err != nil {
		return nil, nil, err
	}
	records = named(records)
	slices.SortFunc(records, func(a, b images.Image) int { return cmp.Compare(a.Name, b.Name) })
	return records, func(record images.Image) *controlpb.LocalImage {
		return seen(ctx, s, record, len(used[record.Target.Digest]))
	}, nil
}

// seen describes a record of which so many containers are made. What cannot be
// read is shown as unknown: the list must not fail for one broken image.
func seen(ctx context.Context, s *Store, record images.Image, used int) *controlpb.LocalImage {
	local := &controlpb.LocalImage{
		Name:      record.Name,
		Digest:    record.Target.Digest.String(),
		SizeBytes: s.size(ctx, record),
		UsedBy:    uint32(used),
	}
	if img, err := describe(ctx, client.NewImage(s.cfg.Client, record)); err == nil {
		local.Labels = bounded(img.Config.Labels)
		if !img.CreatedAt.IsZero() {
			local.CreatedAt = timestamppb.New(img.CreatedAt)
		}
	}
	if have, err := images.Platforms(ctx, s.cfg.Client.ContentStore(), record.Target); err == nil {
		for _, p := range have {
			local.Platforms = append(local.Platforms, platforms.Format(p))
		}
	}
	return local
}

// maxLabels bounds the labels of an image that are told, in bytes.
const maxLabels = 64 << 10

// bounded returns labels that are not too large to tell.
func bounded(labels map[string]string) map[string]string {
	n := 0
	for k, v := range labels {
		n += len(k) + len(v)
	}
	if n > maxLabels {
		return nil
	}
	return labels
}

// held describes one record.
func (s *Store) held(ctx context.Context, record images.Image) *clusterpb.NodeImage {
	taggedAt, _ := strconv.ParseInt(record.Labels[taggedAtLabel], 10, 64)
	return &clusterpb.NodeImage{
		Name:      record.Name,
		Digest:    record.Target.Digest.String(),
		SizeBytes: s.size(ctx, record),
		Loaded:    record.Labels[loadedLabel] != "",
		TaggedAt:  taggedAt,
	}
}

// size returns the bytes of the image's content, 0 when it cannot be read.
func (s *Store) size(ctx context.Context, record images.Image) int64 {
	s.mu.Lock()
	n, ok := s.sizes[record.Target.Digest]
	s.mu.Unlock()
	if ok {
		return n
	}
	n, err := usage.CalculateImageUsage(ctx, record, s.cfg.Client.ContentStore(),
		usage.WithManifestLimit(platforms.Default(), 1), usage.WithManifestUsage())
	if err != nil {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sizes[record.Target.Digest] = n
	return n
}

// usedBy returns the containers made from each content.
func (s *Store) usedBy(ctx context.Context) (map[digest.Digest][]string, error) {
	list, err := s.cfg.Client.ContainerService().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	used := make(map[digest.Digest][]string)
	for _, c := range list {
		content := contentOf(c.Image)
		used[content] = append(used[content], c.ID)
	}
	return used, nil
}
