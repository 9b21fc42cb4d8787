package images

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/muster/muster/proto/image"
)

// maxManifest bounds what a node may claim to be a manifest: 8 MiB, as
// containerd's own limit for reading one.
const maxManifest = 8 << 20

// Source says which other nodes hold an image; the zero value, that none does.
type Source struct {
	// Digest of the image's manifest or index on those nodes.
	Digest digest.Digest
	// Addrs are the nodes' control addresses, HOST:PORT, best first.
	Addrs []string
	// Loaded: the image came from an archive, not from a registry.
	Loaded bool
}

// Fetcher reads content of other nodes.
type Fetcher interface {
	// FetchBlob returns the content from offset on and the size of the whole.
	// The error is NotFound when the node does not hold it.
	FetchBlob(ctx context.Context, addr, digest string, offset int64) (io.ReadCloser, int64, error)
}

// fromPeers fetches an image from the nodes that hold it and keeps it under
// its digest.
func (s *Store) fromPeers(ctx context.Context, r image.Ref, source Source, progress func(Progress)) (images.Image, error) {
	r = r.Pin(source.Digest)
	p := &peers{fetcher: s.cfg.Fetcher, name: r.Exact(), digest: source.Digest, addrs: source.Addrs}
	return s.pull(ctx, r, p, progress)
}

// peers resolves one image from nodes. Every blob may come from another node
// than the last; the content store checks each against its digest.
type peers struct {
	fetcher Fetcher
	addrs   []string
	name    string
	digest  digest.Digest
}

var _ remotes.Resolver = (*peers)(nil)

// Resolve implements remotes.Resolver: it finds out what the digest is.
func (p *peers) Resolve(ctx context.Context, _ string) (string, ocispec.Descriptor, error) {
	// Managers pass on what a node says that it holds.
	if err := p.digest.Validate(); err != nil {
		return "", ocispec.Descriptor{}, fmt.Errorf("the nodes hold it as %q: %w: %w", p.digest, err, errdefs.ErrInvalidArgument)
	}
	body := &peerBody{ctx: ctx, peers: p, digest: p.digest}
	defer func() { _ = body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(body, maxManifest+1))
	if err != nil {
		return "", ocispec.Descriptor{}, err
	}
	if len(raw) > maxManifest || p.digest.Algorithm().FromBytes(raw) != p.digest {
		return "", ocispec.Descriptor{}, fmt.Errorf("what the nodes hold as %s is something else", p.digest)
	}
	mediaType, err := mediaTypeOf(raw)
	if err != nil {
		return "", ocispec.Descriptor{}, err
	}
	return p.name, ocispec.Descriptor{MediaType: mediaType, Digest: p.digest, Size: int64(len(raw))}, nil
}

// Fetcher implements remotes.Resolver.
func (p *peers) Fetcher(context.Context, string) (remotes.Fetcher, error) {
	return remotes.FetcherFunc(func(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
		return &peerBody{ctx: ctx, peers: p, digest: desc.Digest, want: desc.Size}, nil
	}), nil
}

// Pusher implements remotes.Resolver; nothing is pushed to nodes.
func (p *peers) Pusher(context.Context, string) (remotes.Pusher, error) {
	return nil, fmt.Errorf("push to nodes: %w", errdefs.ErrNotImplemented)
}

// mediaTypeOf tells an index from a manifest. Docker's and OCI's are both
// allowed to leave the field out; then the shape decides.
func mediaTypeOf(raw []byte) (string, error) {
	var m struct {
		MediaType string            `json:"mediaType"`
		Manifests []json.RawMessage `json:"manifests"`
		Config    json.RawMessage   `json:"config"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return "", fmt.Errorf("parse manifest: %w", err)
	}
	switch {
	case m.MediaType != "":
		return m.MediaType, nil
	case m.Manifests != nil:
		return ocispec.MediaTypeImageIndex, nil
	case m.Config != nil:
		return ocispec.MediaTypeImageManifest, nil
	default:
		return "", errors.New("parse manifest: it has neither config nor manifests")
	}
}

// peerBody reads one blob; when a node fails it goes on with the next one from
// where it is.
type peerBody struct {
	// ctx bounds the reads.
	ctx    context.Context //nolint:containedctx // an io.Reader has no other place for it
	peers  *peers
	digest digest.Digest
	want   int64 // its size; 0 when that is not known

	offset int64
	size   int64
	body   io.ReadCloser
	next   int // index of the node to try next
	failed error
}

// Read implements io.Reader.
func (b *peerBody) Read(p []byte) (int, error) {
	for {
		if b.body == nil {
			if err := b.open(); err != nil {
				return 0, err
			}
		}
		n, err := b.body.Read(p)
		b.offset += int64(n)
		switch {
		case err == nil:
			return n, nil
		case b.offset >= b.size: // all of it is here, however the node ended
			return n, io.EOF
		}
		// Cut short: remember why, and let the next node go on.
		b.failed = errors.Join(b.failed, fmt.Errorf("node %s: %w", b.peers.addrs[b.next-1], noEOF(err)))
		_ = b.Close()
		if n > 0 {
			return n, nil
		}
	}
}

// open asks the next node for the blob.
func (b *peerBody) open() error {
	for b.next < len(b.peers.addrs) {
		addr := b.peers.addrs[b.next]
		b.next++
		body, size, err := b.peers.fetcher.FetchBlob(b.ctx, addr, b.digest.String(), b.offset)
		if err == nil && b.want > 0 && size != b.want {
			err = fmt.Errorf("it holds %d bytes of %d", size, b.want)
			_ = body.Close()
		}
		if err == nil {
			b.body, b.size = body, size
			return nil
		}
		if b.ctx.Err() != nil {
			return context.Cause(b.ctx)
		}
		b.failed = errors.Join(b.failed, fmt.Errorf("node %s: %w", addr, err))
	}
	if b.failed == nil {
		return fmt.Errorf("no node holds it: %w", errdefs.ErrNotFound)
	}
	return b.failed
}

// Seek implements io.Seeker for a transfer that is taken up again.
func (b *peerBody) Seek(offset int64, whence int) (int64, error) {
	if whence != io.SeekStart {
		return 0, errors.ErrUnsupported
	}
	if offset != b.offset || b.body == nil {
		_ = b.Close()
		b.offset, b.next = offset, 0
	}
	return offset, nil
}

// Close implements io.Closer.
func (b *peerBody) Close() error {
	if b.body == nil {
		return nil
	}
	body := b.body
	b.body = nil
	return body.Close()
}

// noEOF makes an early end readable as the error it is.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
