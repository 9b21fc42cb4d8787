package images

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

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
	// Each node gets its turn before the whole transfer counts as stalled.
	patience := s.cfg.Stall / 2
	stall := patience * time.Duration(len(source.Addrs)+1)
	p := &peers{fetcher: s.cfg.Fetcher, name: r.Exact(), digest: source.Digest, addrs: source.Addrs, patience: patience}
	return s.pull(ctx, r, p, stall, progress)
}

// peers resolves one image from nodes. Every blob may come from another node
// than the last; the content store checks each against its digest.
type peers struct {
	fetcher Fetcher
	name    string
	digest  digest.Digest
	// patience is how long a node may give nothing before the next one is asked.
	patience time.Duration

	mu    sync.Mutex
	addrs []string // in the order in which they are asked
}

// errSilent is why a node is given up.
var errSilent = errors.New("it gives nothing")

// order returns the nodes as they are to be asked now.
func (p *peers) order() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.addrs)
}

// silent has a node asked last from now on: the next blob should not wait for it
// again.
func (p *peers) silent(addr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.addrs, addr); i >= 0 {
		p.addrs = append(slices.Delete(p.addrs, i, i+1), addr)
	}
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

// peerBody reads one blob; when a node fails or falls silent it goes on with the
// next one from where it is.
type peerBody struct {
	// ctx bounds the reads.
	ctx    context.Context //nolint:containedctx // an io.Reader has no other place for it
	peers  *peers
	digest digest.Digest
	want   int64 // its size; 0 when that is not known

	offset int64
	size   int64
	left   []string // the nodes to try next
	asked  bool     // left is known
	from   *turn    // nil while none is read from
	failed error
}

// turn is a node that a blob is read from.
type turn struct {
	addr   string
	body   io.ReadCloser
	cancel context.CancelCauseFunc
}

// Read implements io.Reader.
func (b *peerBody) Read(p []byte) (int, error) {
	for {
		if b.from == nil {
			if err := b.open(); err != nil {
				return 0, err
			}
		}
		from := b.from
		heard := b.listen(from)
		n, err := from.body.Read(p)
		err = heard(err)
		b.offset += int64(n)
		switch {
		case err == nil:
			return n, nil
		case b.offset >= b.size: // all of it is here, however the node ended
			return n, io.EOF
		}
		// Cut short: remember why, and let the next node go on.
		b.failed = errors.Join(b.failed, fmt.Errorf("node %s: %w", from.addr, noEOF(err)))
		_ = b.Close()
		if n > 0 {
			return n, nil
		}
	}
}

// open asks the next node for the blob.
func (b *peerBody) open() error {
	if !b.asked {
		b.left, b.asked = b.peers.order(), true
	}
	for len(b.left) > 0 {
		addr := b.left[0]
		b.left = b.left[1:]
		err := b.openAt(addr)
		if err == nil {
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

// openAt asks one node for the blob.
func (b *peerBody) openAt(addr string) error {
	ctx, cancel := context.WithCancelCause(b.ctx)
	next := &turn{addr: addr, cancel: cancel}
	heard := b.listen(next)
	body, size, err := b.peers.fetcher.FetchBlob(ctx, addr, b.digest.String(), b.offset)
	if err = heard(err); err == nil && b.want > 0 && size != b.want {
		err = fmt.Errorf("it holds %d bytes of %d", size, b.want)
	}
	if err != nil {
		if body != nil {
			_ = body.Close()
		}
		cancel(nil)
		return err
	}
	next.body = body
	b.from, b.size = next, size
	return nil
}

// listen breaks a node's turn off when it says nothing for too long. It returns
// what is told when it did say something, and gives the reason back.
func (b *peerBody) listen(to *turn) (heard func(error) error) {
	timer := time.AfterFunc(b.peers.patience, func() { to.cancel(errSilent) })
	return func(err error) error {
		if timer.Stop() || err == nil {
			return err
		}
		b.peers.silent(to.addr)
		return fmt.Errorf("%w for %s: %w", errSilent, b.peers.patience, err)
	}
}

// Seek implements io.Seeker for a transfer that is taken up again.
func (b *peerBody) Seek(offset int64, whence int) (int64, error) {
	if whence != io.SeekStart {
		return 0, errors.ErrUnsupported
	}
	if offset != b.offset || b.from == nil {
		_ = b.Close()
		b.offset, b.asked = offset, false
	}
	return offset, nil
}

// Close implements io.Closer.
func (b *peerBody) Close() error {
	if b.from == nil {
		return nil
	}
	from := b.from
	b.from = nil
	from.cancel(nil)
	return from.body.Close()
}

// noEOF makes an early end readable as the error it is.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
