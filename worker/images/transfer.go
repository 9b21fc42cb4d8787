package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/muster/muster/proto/image"
)

// errStalled ends a transfer that gets nothing any more.
var errStalled = errors.New("no progress")

// transfer is one image on its way into the content store, from a registry or
// from other nodes: both are resolvers. It counts bytes and ends the work when
// nothing moves for too long.
type transfer struct {
	stall    time.Duration
	progress func(Progress)
	stop     context.CancelCauseFunc

	mu    sync.Mutex
	total map[digest.Digest]int64
	done  int64
	// reported is how many bytes the last report told.
	reported int64
}

// pull brings the image that resolver gives for ref into the store, unpacked,
// under its digest. It ends when nothing has come for the stall time.
func (s *Store) pull(ctx context.Context, ref image.Ref, resolver remotes.Resolver, stall time.Duration, progress func(Progress)) (images.Image, error) {
	if err := s.transfers.take(ctx, progress); err != nil {
		return images.Image{}, err
	}
	defer func() { <-s.transfers }()
	ctx, stop := context.WithCancelCause(s.inNamespace(ctx))
	defer stop(nil)
	t := &transfer{stall: stall, progress: progress, stop: stop, total: make(map[digest.Digest]int64)}
	progress(Progress{Stage: "resolving"})
	img, err := s.cfg.Client.Pull(ctx, ref.Exact(),
		client.WithResolver(&guardedResolver{Resolver: resolver, t: t, ref: ref}),
		client.WithImageHandler(images.HandlerFunc(t.seen)),
		client.WithPullSnapshotter(s.cfg.Snapshotter),
		client.WithPullUnpack)
	if err != nil {
		if errors.Is(context.Cause(ctx), errStalled) {
			err = fmt.Errorf("nothing received for %v: %w", t.stall, errStalled)
		}
		return images.Image{}, err
	}
	return img.Metadata(), nil
}

// turns has room for those who may work at the same time.
type turns chan struct{}

// take waits until there is room for one more transfer, which the caller gives
// back.
func (t turns) take(ctx context.Context, progress func(Progress)) error {
	select {
	case t <- struct{}{}:
		return nil
	default:
		progress(Progress{Stage: "waiting"})
	}
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// seen adds a piece of the image to what has to come.
func (t *transfer) seen(_ context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total[desc.Digest] = desc.Size
	return nil, nil
}

// received counts bytes and reports about once a percent.
func (t *transfer) received(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done += int64(n)
	var total int64
	for _, size := range t.total {
		total += size
	}
	if t.done-t.reported < total/100 {
		return
	}
	t.reported = t.done
	t.progress(Progress{Stage: "fetching", Done: t.done, Total: total})
}

// watch ends the transfer unless the returned function is called before the
// stall time is over.
func (t *transfer) watch() (stop func() bool) {
	return time.AfterFunc(t.stall, func() { t.stop(errStalled) }).Stop
}

// guardedResolver watches over everything that waits for the other side. It
// names what is found by its digest: no tag moves before all of it is here.
type guardedResolver struct {
	remotes.Resolver
	t   *transfer
	ref image.Ref
}

func (r *guardedResolver) Resolve(ctx context.Context, ref string) (string, ocispec.Descriptor, error) {
	defer r.t.watch()()
	_, desc, err := r.Resolver.Resolve(ctx, ref)
	return r.ref.Pin(desc.Digest).Exact(), desc, err
}

func (r *guardedResolver) Fetcher(ctx context.Context, ref string) (remotes.Fetcher, error) {
	fetcher, err := r.Resolver.Fetcher(ctx, ref)
	if err != nil {
		return nil, err
	}
	return remotes.FetcherFunc(func(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
		defer r.t.watch()()
		body, err := fetcher.Fetch(ctx, desc)
		if err != nil {
			return nil, err
		}
		guarded := &guardedBody{ReadCloser: body, t: r.t}
		if seeker, ok := body.(io.Seeker); ok {
			return &seekableBody{guardedBody: guarded, Seeker: seeker}, nil
		}
		return guarded, nil
	}), nil
}

// guardedBody is a blob being received.
type guardedBody struct {
	io.ReadCloser
	t *transfer
}

func (b *guardedBody) Read(p []byte) (int, error) {
	defer b.t.watch()()
	n, err := b.ReadCloser.Read(p)
	b.t.received(n)
	return n, err
}

// seekableBody can go on where an earlier transfer stopped.
type seekableBody struct {
	*guardedBody
	io.Seeker
}
