package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/archive/compression"
	"github.com/containerd/errdefs"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/image"
)

// Load reads a docker-archive or an OCI layout from a tar stream, compressed
// or not, and unpacks its images. It returns them by their full names.
func (s *Store) Load(ctx context.Context, r io.Reader, progress func(Progress)) ([]*clusterpb.NodeImage, error) {
	ctx = s.inNamespace(ctx)
	counted := &countingReader{r: r, progress: progress}
	tar, err := compression.DecompressStream(counted)
	if err != nil {
		return nil, fmt.Errorf("read image archive: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	defer func() { _ = tar.Close() }()

	// The lease keeps what is read from being collected before it is named.
	ctx, done, err := s.cfg.Client.WithLease(ctx)
	if err != nil {
		return nil, fmt.Errorf("load image: %w", err)
	}
	defer func() { _ = done(context.WithoutCancel(ctx)) }()

	labels := taggedNow()
	labels[loadedLabel] = "true"
	records, err := s.cfg.Client.Import(ctx, tar,
		client.WithImageRefTranslator(layoutName),
		client.WithImageLabels(labels))
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if strings.Contains(err.Error(), syscall.ENOSPC.Error()) { // containerd hands over no more than text
			return nil, fmt.Errorf("the disk of this node is full: %w: %w", err, errdefs.ErrResourceExhausted)
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, fmt.Errorf("image archive ends too early: is it whole, and a docker-archive or OCI layout? (%w): %w", err, errdefs.ErrInvalidArgument)
		}
		return nil, fmt.Errorf("image archive is not a docker-archive or OCI layout for this platform: %w: %w",
			err, errdefs.ErrInvalidArgument)
	}
	if len(records) == 0 {
		return nil, fmt.Errorf("image archive names no image: tag it, such as web:1.0, when it is saved: %w",
			errdefs.ErrInvalidArgument)
	}
	progress(Progress{Stage: "unpacking", Done: counted.n})
	loaded := make([]*clusterpb.NodeImage, 0, len(records))
	for _, record := range records {
		if _, err := s.prepare(ctx, record); err != nil {
			return nil, err
		}
		loaded = append(loaded, s.held(ctx, record))
	}
	s.notify()
	progress(Progress{Stage: "done", Done: counted.n, Total: counted.n})
	return loaded, nil
}

// layoutName makes a full name of the reference an OCI layout gives an image;
// a tag alone says nothing about the repository and gives no name.
func layoutName(name string) string {
	r, err := image.Parse(name)
	if err != nil || !hasRepository(name) {
		return ""
	}
	return r.Name()
}

func hasRepository(name string) bool {
	for _, c := range name {
		if c == ':' || c == '/' || c == '@' {
			return true
		}
	}
	return false
}

// taggedNow are the labels of an image that somebody named just now.
func taggedNow() map[string]string {
	return map[string]string{taggedAtLabel: strconv.FormatInt(time.Now().UnixNano(), 10)}
}

// countingReader reports how many bytes were read, at most each MiB.
type countingReader struct {
	r           io.Reader
	progress    func(Progress)
	n, reported int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if c.n-c.reported >= 1<<20 {
		c.reported = c.n
		c.progress(Progress{Stage: "fetching", Done: c.n})
	}
	return n, err
}
