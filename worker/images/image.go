package images

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
)

// Image is an image that is unpacked on this node.
type Image struct {
	// Name is the full reference it is kept under, REPOSITORY@DIGEST.
	Name string
	// Digest of the manifest or index that the name stands for.
	Digest digest.Digest
	// ChainID is the key of the snapshot that containers are made from.
	ChainID string
	// CreatedAt is when the image was built, zero when it does not say.
	CreatedAt time.Time
	// Config is what the image says about its process. Unlike the OCI type it
	// has Docker's health check.
	Config dockerspec.DockerOCIImageConfig
}

// describe reads the config of an image for this node's platform.
func describe(ctx context.Context, handle client.Image) (*Image, error) {
	desc, err := handle.Config(ctx)
	if err != nil {
		return nil, fmt.Errorf("find its config: %w", err)
	}
	blob, err := content.ReadBlob(ctx, handle.ContentStore(), desc)
	if err != nil {
		return nil, fmt.Errorf("read its config: %w", err)
	}
	var config dockerspec.DockerOCIImage
	if err := json.Unmarshal(blob, &config); err != nil {
		return nil, fmt.Errorf("parse its config: %w", err)
	}
	img := &Image{
		Name:    handle.Name(),
		Digest:  handle.Target().Digest,
		ChainID: identity.ChainID(config.RootFS.DiffIDs).String(),
		Config:  config.Config,
	}
	if config.Created != nil {
		img.CreatedAt = *config.Created
	}
	return img, nil
}
