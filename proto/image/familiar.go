package image

import "github.com/distribution/reference"

// Familiar is the reference as people write it: nginx:latest.
func (r Ref) Familiar() string {
	short := r
	short.Repository = r.FamiliarName()
	return short.String()
}

// FamiliarName is the repository as people write it: nginx.
func (r Ref) FamiliarName() string {
	named, err := reference.ParseNormalizedNamed(r.Repository)
	if err != nil {
		return r.Repository
	}
	return reference.FamiliarName(named)
}

// Familiar shortens a reference to what people write. What is no reference
// stays as it is.
func Familiar(s string) string {
	r, err := Parse(s)
	if err != nil {
		return s
	}
	return r.Familiar()
}

// Brief is Familiar without the digest where a tag says enough for a list.
func Brief(s string) string {
	r, err := Parse(s)
	if err != nil {
		return s
	}
	if r.Tag != "" {
		r.Digest = ""
	}
	return r.Familiar()
}
