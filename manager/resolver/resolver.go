// Package resolver finds out which content an image reference stands for:
// what nodes were given by hand goes first, then the registry, then what
// nodes still hold of it.
package resolver

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/muster/muster/manager/controlapi"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/raftstore/state"
)

// DefaultTimeout bounds asking a registry.
const DefaultTimeout = 10 * time.Second

// maxManifest is the largest manifest read; the distribution specification
// lets registries refuse more than 4 MiB.
const maxManifest = 4 << 20

// Resolver implements controlapi.Images.
type Resolver struct {
	// HostsDir holds a directory with a hosts.toml for each registry that has
	// mirrors or settings of its own (containerd's format).
	HostsDir string
	// Timeout bounds asking a registry; DefaultTimeout when 0.
	Timeout time.Duration
}

var _ controlapi.Images = (*Resolver)(nil)

// Resolve pins image to its content. NotFound means that neither a node nor
// the registry has it, FailedPrecondition that no node has it and the registry
// could not be asked.
func (r *Resolver) Resolve(ctx context.Context, s *state.State, image, auth string) (controlapi.Resolved, error) {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return controlapi.Resolved{}, fmt.Errorf("image %q: %w: %w", image, err, errdefs.ErrInvalidArgument)
	}
	named = reference.TagNameOnly(named)
	held := holding(s, named.String())
	if held.loaded != "" {
		return pin(named, held.loaded, nil)
	}
	dgst, platforms, err := r.ask(ctx, named, auth)
	switch {
	case err == nil:
		return pin(named, dgst, platforms)
	case held.pulled != "":
		return pin(named, held.pulled, nil)
	}
	return controlapi.Resolved{}, explain(image, named, err)
}

// holders are the digests under which nodes hold an image.
type holders struct{ loaded, pulled string }

// holding looks at what nodes hold. Where they differ about the name, the one
// that was named last counts; the digest decides a tie, so that every manager
// says the same.
func holding(s *state.State, name string) (h holders) {
	var loaded, pulled *clusterpb.NodeImage
	for n := range s.Nodes() {
		if n.GetStatus().GetState() == clusterpb.NodeStatus_STATE_DOWN {
			continue
		}
		for _, i := range n.GetImages() {
			switch {
			case i.GetName() != name:
			case i.GetLoaded():
				loaded = later(loaded, i)
			default:
				pulled = later(pulled, i)
			}
		}
	}
	return holders{loaded.GetDigest(), pulled.GetDigest()}
}

func later(a, b *clusterpb.NodeImage) *clusterpb.NodeImage {
	if a == nil || cmp.Or(cmp.Compare(a.GetTaggedAt(), b.GetTaggedAt()), cmp.Compare(a.GetDigest(), b.GetDigest())) < 0 {
		return b
	}
	return a
}

func pin(named reference.Named, dgst string, platforms []*clusterpb.Platform) (controlapi.Resolved, error) {
	d, err := digest.Parse(dgst)
	if err != nil {
		return controlapi.Resolved{}, fmt.Errorf("digest of image %s: %w", named, err)
	}
	pinned, err := reference.WithDigest(named, d)
	if err != nil {
		return controlapi.Resolved{}, fmt.Errorf("pin image %s: %w", named, err)
	}
	return controlapi.Resolved{Image: reference.FamiliarString(pinned), Platforms: platforms}, nil
}

// ask asks the registry.
func (r *Resolver) ask(ctx context.Context, named reference.Named, auth string) (string, []*clusterpb.Platform, error) {
	timeout := r.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer in %s", timeout))
	defer cancel()
	resolver, err := r.resolver(ctx, auth)
	if err != nil {
		return "", nil, err
	}
	name, desc, err := resolver.Resolve(ctx, named.String())
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return "", nil, err
	}
	platforms, err := readPlatforms(ctx, resolver, name, desc)
	return desc.Digest.String(), platforms, err
}

func (r *Resolver) resolver(ctx context.Context, auth string) (remotes.Resolver, error) {
	user, secret, err := credentials(auth)
	if err != nil {
		return nil, err
	}
	options := config.HostOptions{
		Credentials: func(string) (string, string, error) { return user, secret, nil },
		HostDir:     config.HostDirFromRoot(r.HostsDir),
	}
	return docker.NewResolver(docker.ResolverOptions{Hosts: config.ConfigureHosts(ctx, options)}), nil
}

// credentials reads the form of Docker's X-Registry-Auth header.
func credentials(auth string) (user, secret string, err error) {
	if auth == "" {
		return "", "", nil
	}
	data, err := base64.URLEncoding.DecodeString(auth)
	if err != nil {
		return "", "", fmt.Errorf("registry credential: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	var c struct{ Username, Password, IdentityToken string }
	if err := json.Unmarshal(data, &c); err != nil {
		return "", "", fmt.Errorf("registry credential: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	if c.IdentityToken != "" {
		return "", c.IdentityToken, nil
	}
	return c.Username, c.Password, nil
}

// readPlatforms returns for which platforms an index has images; none for a
// single image, whose platform its node finds out.
func readPlatforms(ctx context.Context, resolver remotes.Resolver, name string, desc ocispec.Descriptor) ([]*clusterpb.Platform, error) {
	if !images.IsIndexType(desc.MediaType) {
		return nil, nil
	}
	fetcher, err := resolver.Fetcher(ctx, name)
	if err != nil {
		return nil, err
	}
	body, err := fetcher.Fetch(ctx, desc)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, maxManifest))
	if err != nil {
		return nil, err
	}
	if got := digest.FromBytes(data); got != desc.Digest {
		return nil, fmt.Errorf("registry sent content %s for %s", got, desc.Digest)
	}
	var index ocispec.Index
	if err := json.Unmarshal(data, &index); err != nil {
		return nil, err
	}
	var platforms []*clusterpb.Platform
	for _, m := range index.Manifests {
		if p := m.Platform; p != nil && p.OS != "" && p.OS != "unknown" {
			platforms = append(platforms, &clusterpb.Platform{Os: p.OS, Architecture: p.Architecture})
		}
	}
	return platforms, nil
}
