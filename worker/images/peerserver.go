package images

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	nodepb "github.com/muster/muster/proto/node/v1"
)

// chunk is how much of a blob one message carries.
const chunk = 256 << 10

// PeerServer gives the node's content to other nodes. Whoever may call it is
// decided by the mTLS server it is registered with.
type PeerServer struct {
	nodepb.UnimplementedPeerServiceServer
	store *Store
}

// NewPeerServer returns the server for a store.
func NewPeerServer(s *Store) *PeerServer { return &PeerServer{store: s} }

// FetchBlob implements nodepb.PeerServiceServer.
func (p *PeerServer) FetchBlob(req *nodepb.FetchBlobRequest, stream nodepb.PeerService_FetchBlobServer) error {
	dgst, err := digest.Parse(req.GetDigest())
	if err != nil {
		return fmt.Errorf("digest %q: %w: %w", req.GetDigest(), err, errdefs.ErrInvalidArgument)
	}
	ctx := p.store.inNamespace(stream.Context())
	blob, err := p.store.cfg.Client.ContentStore().ReaderAt(ctx, ocispec.Descriptor{Digest: dgst})
	if err != nil {
		return fmt.Errorf("blob %s: %w", dgst, err)
	}
	defer func() { _ = blob.Close() }()
	if req.GetOffset() < 0 || req.GetOffset() > blob.Size() {
		return fmt.Errorf("offset %d of blob %s with %d bytes: %w", req.GetOffset(), dgst, blob.Size(), errdefs.ErrOutOfRange)
	}
	return send(stream, blob, req.GetOffset())
}

// send streams blob from offset on. There is at least one message, since it
// carries the size.
func send(stream nodepb.PeerService_FetchBlobServer, blob content.ReaderAt, offset int64) error {
	resp := &nodepb.FetchBlobResponse{SizeBytes: blob.Size()}
	buf := make([]byte, chunk)
	for first := true; first || offset < blob.Size(); first = false {
		n, err := blob.ReadAt(buf, offset)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read blob at %d: %w", offset, err)
		}
		offset += int64(n)
		resp.Data = buf[:n]
		if err := stream.Send(resp); err != nil {
			return err
		}
		resp.SizeBytes = 0
		if n == 0 {
			return nil
		}
	}
	return nil
}

// PeerClient is a Fetcher over the nodes' control ports.
type PeerClient struct {
	// Dial returns a client of the node at addr. Who dials keeps the
	// connection and closes it.
	Dial func(addr string) (nodepb.PeerServiceClient, error)
}

var _ Fetcher = PeerClient{}

// FetchBlob implements Fetcher.
func (c PeerClient) FetchBlob(ctx context.Context, addr, dgst string, offset int64) (io.ReadCloser, int64, error) {
	node, err := c.Dial(addr)
	if err != nil {
		return nil, 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	stream, err := node.FetchBlob(ctx, &nodepb.FetchBlobRequest{Digest: dgst, Offset: offset})
	if err != nil {
		cancel()
		return nil, 0, errgrpc.ToNative(err)
	}
	first, err := stream.Recv()
	if err != nil {
		cancel()
		return nil, 0, errgrpc.ToNative(noEOF(err))
	}
	return &streamBody{stream: stream, cancel: cancel, rest: first.GetData()}, first.GetSizeBytes(), nil
}

// streamBody reads the messages of a stream as bytes.
type streamBody struct {
	stream nodepb.PeerService_FetchBlobClient
	cancel context.CancelFunc
	rest   []byte
}

func (b *streamBody) Read(p []byte) (int, error) {
	for len(b.rest) == 0 {
		resp, err := b.stream.Recv()
		if errors.Is(err, io.EOF) {
			return 0, io.EOF
		}
		if err != nil {
			return 0, errgrpc.ToNative(err)
		}
		b.rest = resp.GetData()
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// Close ends the stream.
func (b *streamBody) Close() error {
	b.cancel()
	return nil
}
