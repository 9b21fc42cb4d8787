package images

import (
	"bufio"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/containerd/containerd/v2/pkg/archive/compression"
	"github.com/containerd/errdefs"
	"github.com/ulikunitz/xz"
)

// Signatures of compressed files that containerd does not read itself.
const (
	xzMagic    = "\xFD7zXZ\x00"
	bzip2Magic = "BZh"
	lz4Magic   = "\x04\x22\x4D\x18"
)

// decompress returns what a stream holds: gzip, zstd, xz and bzip2 are read, as
// by "docker load"; anything else is taken as it is.
func decompress(r io.Reader) (io.ReadCloser, error) {
	in := bufio.NewReader(r)
	head, err := in.Peek(len(xzMagic))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(head) == 0 {
		return nil, fmt.Errorf("there is nothing in it: did what was to write it fail?: %w", errdefs.ErrInvalidArgument)
	}
	switch magic := string(head); {
	case strings.HasPrefix(magic, xzMagic):
		x, err := xz.NewReader(in)
		if err != nil {
			return nil, err
		}
		return io.NopCloser(x), nil
	case strings.HasPrefix(magic, bzip2Magic):
		return io.NopCloser(bzip2.NewReader(in)), nil
	case strings.HasPrefix(magic, lz4Magic):
		return nil, fmt.Errorf("it is compressed by lz4; gzip, zstd, xz, bzip2 and plain tar are read: %w", errdefs.ErrInvalidArgument)
	}
	return compression.DecompressStream(in)
}
