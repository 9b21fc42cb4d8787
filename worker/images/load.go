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

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// Load reads a docker-archive or an OCI layout from a tar stream, compressed
// or not, and unpacks its images. It returns them by their full names. Nothing
// is named when one of them cannot be had.
func (s *Store) Load(ctx context.Context, r io.Reader, progress func(Progress)) ([]*clusterpb.NodeImage, error) {
	ctx = s.inNamespace(ctx)
	counted := &countingReader{r: r, progress: progress}
	tar, err := decompress(counted)
	if err != nil {
		return nil, unreadable(ctx, err)
	}
	defer func() { _ = tar.Close() }()

	// The lease keeps what is read from being collected before it is named.
	ctx, done, err := s.cfg.Client.WithLease(ctx)
	if err != nil {
		return nil, fmt.Errorf("load image: %w", err)
	}
	defer func() { _ = done(context.WithoutCancel(ctx)) }()

	list, err := readArchive(ctx, s.cfg.Client.ContentStore(), tar)
	if err != nil {
		return nil, unreadable(ctx, err)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("image archive names no image: tag it, such as web:1.0, when it is saved: %w",
			errdefs.ErrInvalidArgument)
	}
	progress(Progress{Stage: "unpacking", Done: counted.n})
	for _, a := range list {
		if err := link(ctx, s.cfg.Client.ContentStore(), a.target); err != nil {
			return nil, unreadable(ctx, err)
		}
		if _, err := s.prepare(ctx, images.Image{Name: a.ref.Name(), Target: a.target}); err != nil {
			return nil, incomplete(err)
		}
	}
	loaded, err := s.bindAll(ctx, list)
	if err != nil {
		return nil, err
	}
	s.notify()
	progress(Progress{Stage: "done", Done: counted.n, Total: counted.n})
	return loaded, nil
}

// bindAll names what an archive holds.
func (s *Store) bindAll(ctx context.Context, list []archived) ([]*clusterpb.NodeImage, error) {
	labels := taggedNow()
	labels[loadedLabel] = "true"
	loaded := make([]*clusterpb.NodeImage, 0, len(list))
	for _, a := range list {
		record, err := s.records().bind(ctx, a.ref, a.target, labels)
		if err != nil {
			return nil, err
		}
		loaded = append(loaded, s.held(ctx, record))
	}
	return loaded, nil
}

// unreadable says what is wrong with an archive.
func unreadable(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case strings.Contains(err.Error(), syscall.ENOSPC.Error()): // containerd hands over no more than text
		return fmt.Errorf("the disk of this node is full: %w: %w", err, errdefs.ErrResourceExhausted)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("image archive ends too early: is it whole, and a docker-archive or OCI layout? (%w): %w", err, errdefs.ErrInvalidArgument)
	case errdefs.IsInvalidArgument(err):
		return fmt.Errorf("read image archive: %w", err)
	}
	return fmt.Errorf("image archive is not a docker-archive or OCI layout: %w: %w", err, errdefs.ErrInvalidArgument)
}

// incomplete says that an archive lacks a part of what it names.
func incomplete(err error) error {
	if errdefs.IsNotFound(err) {
		return fmt.Errorf("image archive lacks a part: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	return err
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
