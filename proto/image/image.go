// Package image holds the rules about image references, NAME[:TAG][@DIGEST],
// and the words for why a registry did not give an image.
package image

import (
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

// DefaultTag is what a reference with neither tag nor digest means.
const DefaultTag = "latest"

// Ref is a reference as it was written, but for its name, which is in full.
// The zero Ref is none.
type Ref struct {
	// Repository is the full name, such as docker.io/library/nginx.
	Repository string
	// Tag and Digest are empty where the reference has none. With both, the
	// digest says what the content is, and the tag is there for people.
	Tag    string
	Digest digest.Digest
}

// Form is how references are written.
const Form = "NAME[:TAG][@DIGEST], such as nginx:1.29"

// FormError is what Parse says of something that is no reference. Its kind is
// errdefs.ErrInvalidArgument.
type FormError struct{ Written, Reason string }

func (e *FormError) Error() string {
	return fmt.Sprintf("image %q: must be %s (%s)", e.Written, Form, e.Reason)
}

// Unwrap returns the kind.
func (e *FormError) Unwrap() error { return errdefs.ErrInvalidArgument }

// Parse reads a reference as Docker does: docker.io is the registry of a name
// without one. It is a *FormError for anything else.
func Parse(s string) (Ref, error) {
	named, err := reference.ParseNormalizedNamed(s)
	if err != nil {
		return Ref{}, &FormError{Written: s, Reason: err.Error()}
	}
	r := Ref{Repository: named.Name()}
	if tagged, ok := named.(reference.Tagged); ok {
		r.Tag = tagged.Tag()
	}
	if digested, ok := named.(reference.Digested); ok {
		r.Digest = digested.Digest()
	}
	return r, nil
}

// Registry is the host that the image comes from, with its port if it has one:
// docker.io, registry.example.com:5000.
func (r Ref) Registry() string {
	named, err := reference.ParseNormalizedNamed(r.Repository)
	if err != nil {
		return ""
	}
	return reference.Domain(named)
}

// IsPinned reports whether the reference says what the content is.
func (r Ref) IsPinned() bool { return r.Digest != "" }

// Name is the full name that a node keeps the image under: with its tag, the
// default one if need be; with the digest only where that is all there is.
func (r Ref) Name() string {
	switch {
	case r.Tag != "":
		return r.Repository + ":" + r.Tag
	case r.IsPinned():
		return r.Exact()
	}
	return r.Repository + ":" + DefaultTag
}

// Exact is the full name of the content that the reference is pinned to,
// without a tag, and Name for one that is not pinned. It is what is asked for.
func (r Ref) Exact() string {
	if !r.IsPinned() {
		return r.Name()
	}
	return r.Repository + "@" + r.Digest.String()
}

// Pin returns the reference with the digest of the content that it stands for
// now, and with its tag, the default one if need be.
func (r Ref) Pin(content digest.Digest) Ref {
	if r.Tag == "" && !r.IsPinned() {
		r.Tag = DefaultTag
	}
	r.Digest = content
	return r
}

// String is the whole reference, with its name in full.
func (r Ref) String() string {
	s := r.Repository
	if r.Tag != "" {
		s += ":" + r.Tag
	}
	if r.Digest != "" {
		s += "@" + r.Digest.String()
	}
	return s
}
