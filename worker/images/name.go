package images

import (
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

// ref is a parsed image reference.
type ref struct {
	// name is the full reference without digest; it has a tag unless only a
	// digest was given.
	name string
	// repository is the full name without tag and digest.
	repository string
	// digest is what the reference is pinned to, or empty.
	digest digest.Digest
	// domain is the registry, such as docker.io.
	domain string
}

// parse reads NAME[:TAG][@DIGEST] as Docker does: docker.io is the default
// registry and latest the default tag.
func parse(s string) (ref, error) {
	named, err := reference.ParseNormalizedNamed(s)
	if err != nil {
		return ref{}, fmt.Errorf("image %q: want NAME[:TAG][@DIGEST] (%w): %w", s, err, errdefs.ErrInvalidArgument)
	}
	r := ref{repository: named.Name(), domain: reference.Domain(named)}
	if d, ok := named.(reference.Digested); ok {
		r.digest = d.Digest()
	}
	switch tagged, ok := named.(reference.Tagged); {
	case ok:
		r.name = r.repository + ":" + tagged.Tag()
	case r.digest == "":
		r.name = reference.TagNameOnly(named).String()
	default:
		r.name = r.pinned()
	}
	return r, nil
}

// pinned is the name of a copy that no tag stands for.
func (r ref) pinned() string { return r.repository + "@" + r.digest.String() }

// Familiar shortens a full reference to what people write: nginx:latest.
func Familiar(name string) string {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return name
	}
	return reference.FamiliarString(named)
}
