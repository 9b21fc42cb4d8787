// Package resolver finds out which content an image reference stands for:
// what nodes were given by hand goes first, then the registry, then what
// nodes still hold of it.
package resolver

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/credential"
	"github.com/muster/muster/proto/image"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/raftstore/state"
)

// DefaultTimeout bounds asking a registry.
const DefaultTimeout = 10 * time.Second

// maxManifest is the largest manifest read; the distribution specification
// lets registries refuse more than 4 MiB.
const maxManifest = 4 << 20

// Resolver implements service.Images of the API.
type Resolver struct {
	// HostsDir holds a directory with a hosts.toml for each registry that has
	// mirrors or settings of its own (containerd's format).
	HostsDir string
	// Timeout bounds asking a registry; DefaultTimeout when 0.
	Timeout time.Duration
}

// Resolve pins the image of that name to its content. NotFound means that neither a node nor
// the registry has it, FailedPrecondition that no node has it and the registry
// could not be asked.
func (r *Resolver) Resolve(ctx context.Context, s *state.State, name, auth string) (*clusterpb.ResolvedImage, error) {
	ref, err := image.Parse(name)
	if err != nil {
		return nil, err
	}
	held := holding(s, ref.Name())
	if held.loaded != "" {
		return pin(name, ref, held.loaded, nil)
	}
	dgst, platforms, err := r.ask(ctx, ref, auth)
	switch {
	case err == nil:
		return pin(name, ref, dgst, platforms)
	case held.pulled != "":
		return pin(name, ref, held.pulled, nil)
	}
	if held.worker != "" {
		return nil, fmt.Errorf("image %q: only worker %s holds an image of that name, and what a name stands for comes from managers: run \"muster image load\" on a manager: %w",
			name, held.worker, errdefs.ErrFailedPrecondition)
	}
	return nil, explain(name, ref, err)
}

// holders are the digests under which managers hold an image, and a worker
// that says it does.
type holders struct{ loaded, pulled, worker string }

// holding looks at what managers hold: what a name stands for is run by all
// nodes, so no worker decides it, which may be anybody's by now. Where they
// differ about the name, the one that was named last counts; the digest decides
// a tie, so that every manager says the same.
func holding(s *state.State, name string) (h holders) {
	var loaded, pulled *clusterpb.NodeImage
	for n := range s.Nodes() {
		for _, i := range n.GetImages() {
			switch {
			case i.GetName() != name:
			case n.GetRole() != clusterpb.NodeRole_NODE_ROLE_MANAGER:
				h.worker = n.GetDescription().GetHostname()
			case image.Given(i):
				loaded = later(loaded, i) // what was said holds, also when that manager is lost
			case i.GetLoaded(): // a copy of what some node, a worker even, was given
			case !lifecycle.Down(n):
				pulled = later(pulled, i)
			}
		}
	}
	h.loaded, h.pulled = loaded.GetDigest(), pulled.GetDigest()
	return h
}

func later(a, b *clusterpb.NodeImage) *clusterpb.NodeImage {
	if a == nil || cmp.Or(cmp.Compare(a.GetTaggedAt(), b.GetTaggedAt()), cmp.Compare(a.GetDigest(), b.GetDigest())) < 0 {
		return b
	}
	return a
}

func pin(name string, ref image.Ref, dgst string, platforms []*clusterpb.Platform) (*clusterpb.ResolvedImage, error) {
	content, err := digest.Parse(dgst)
	if err != nil {
		return nil, fmt.Errorf("digest of image %s: %w", ref, err)
	}
	return &clusterpb.ResolvedImage{Image: name, Pinned: ref.Pin(content).Familiar(), Platforms: platforms}, nil
}

// explain says in one line what is wrong and what to do.
func explain(name string, ref image.Ref, err error) error {
	answer, _ := errors.AsType[remoteerrors.ErrUnexpectedStatus](err)
	refusal := &image.Refusal{
		Registry: ref.Registry(), Err: err, StatusCode: answer.StatusCode,
		Unauthorized: errors.Is(err, docker.ErrInvalidAuthorization),
	}
	// Never Unavailable: that is what a cluster without a leader answers, and
	// clients would ask again.
	var kind error = errdefs.ErrFailedPrecondition
	if errdefs.IsNotFound(refusal) {
		kind = errdefs.ErrNotFound
	}
	return fmt.Errorf("image %q: no node holds it and %s, %s: %w", name, refusal.Error(), image.LoadRemedy, kind)
}

// ask asks the registry.
func (r *Resolver) ask(ctx context.Context, ref image.Ref, auth string) (string, []*clusterpb.Platform, error) {
	timeout := r.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, image.NoAnswer(timeout))
	defer cancel()
	resolver, err := r.resolver(ctx, ref, auth)
	if err != nil {
		return "", nil, err
	}
	name, desc, err := resolver.Resolve(ctx, ref.Exact())
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return "", nil, err
	}
	platforms, err := readPlatforms(ctx, resolver, name, desc)
	return desc.Digest.String(), platforms, err
}

func (r *Resolver) resolver(ctx context.Context, ref image.Ref, auth string) (remotes.Resolver, error) {
	login, err := credential.Parse(auth)
	if err != nil {
		return nil, err
	}
	options := config.HostOptions{
		Credentials: func(host string) (user, secret string, err error) {
			user, secret = login.For(ref.Registry(), host)
			return user, secret, nil
		},
		HostDir: config.HostDirFromRoot(r.HostsDir),
	}
	return docker.NewResolver(docker.ResolverOptions{Hosts: config.ConfigureHosts(ctx, options)}), nil
}

// readPlatforms returns for which platforms a name has images; none where that
// is not known, and its node finds out.
func readPlatforms(ctx context.Context, resolver remotes.Resolver, name string, desc ocispec.Descriptor) ([]*clusterpb.Platform, error) {
	fetcher, err := resolver.Fetcher(ctx, name)
	if err != nil {
		return nil, err
	}
	if !images.IsIndexType(desc.MediaType) {
		return platformOf(ctx, fetcher, desc), nil
	}
	var index ocispec.Index
	if err := read(ctx, fetcher, desc, &index); err != nil {
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

// platformOf returns what a single image says of itself. Whatever keeps it from
// being read concerns the node that is to run it.
func platformOf(ctx context.Context, fetcher remotes.Fetcher, desc ocispec.Descriptor) []*clusterpb.Platform {
	var manifest ocispec.Manifest
	if !images.IsManifestType(desc.MediaType) || read(ctx, fetcher, desc, &manifest) != nil {
		return nil
	}
	var single ocispec.Image
	if read(ctx, fetcher, manifest.Config, &single) != nil || single.OS == "" || single.Architecture == "" {
		return nil
	}
	return []*clusterpb.Platform{{Os: single.OS, Architecture: single.Architecture}}
}

// read fetches a document of at most maxManifest bytes.
func read(ctx context.Context, fetcher remotes.Fetcher, desc ocispec.Descriptor, into any) error {
	body, err := fetcher.Fetch(ctx, desc)
	if err != nil {
		return err
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, maxManifest))
	if err != nil {
		return err
	}
	if got := digest.FromBytes(data); got != desc.Digest {
		return fmt.Errorf("registry sent content %s for %s", got, desc.Digest)
	}
	return json.Unmarshal(data, into)
}
