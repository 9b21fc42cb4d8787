package images

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/muster/muster/proto/image"
)

// Content is kept under its digest, REPOSITORY@DIGEST, and a tag is a second
// record beside it. containerd collects what no record names; thus what a tag
// stood for stays when the tag moves on, as long as it is not removed.

// records are the names of the node's content.
type records struct{ images.Store }

// bind makes the tag of r stand for target, as somebody said now. The labels
// replace what the tag had.
func (rs records) bind(ctx context.Context, r image.Ref, target ocispec.Descriptor, labels map[string]string) (images.Image, error) {
	kept := images.Image{Name: r.Pin(target.Digest).Exact(), Target: target, Labels: labels}
	if r.Name() == kept.Name { // without a tag, the content itself is what was named
		return rs.put(ctx, kept)
	}
	if err := rs.keep(ctx, kept.Name, target, labels[loadedLabel]); err != nil {
		return images.Image{}, err
	}
	return rs.put(ctx, images.Image{Name: r.Name(), Target: target, Labels: labels})
}

// adopt keeps a copy that was fetched for r. The tag follows, unless somebody
// said on this node what it stands for.
func (rs records) adopt(ctx context.Context, r image.Ref, target ocispec.Descriptor, loaded bool) (images.Image, error) {
	var labels map[string]string
	if loaded {
		labels = map[string]string{loadedLabel: "true"}
	}
	kept := images.Image{Name: r.Pin(target.Digest).Exact(), Target: target}
	if err := rs.keep(ctx, kept.Name, target, labels[loadedLabel]); err != nil {
		return images.Image{}, err
	}
	if r.Name() == kept.Name {
		return kept, nil
	}
	old, err := rs.Get(ctx, r.Name())
	if err != nil && !errdefs.IsNotFound(err) {
		return images.Image{}, fmt.Errorf("look for image %q: %w", image.Familiar(r.Name()), err)
	}
	if old.Labels[taggedAtLabel] != "" {
		return kept, nil
	}
	return rs.put(ctx, images.Image{Name: r.Name(), Target: target, Labels: labels})
}

// keep makes sure that a record of that name, with a digest, holds target. What
// is known of it stays.
func (rs records) keep(ctx context.Context, name string, target ocispec.Descriptor, loaded string) error {
	record := images.Image{Name: name, Target: target}
	var fields []string
	if loaded != "" {
		record.Labels = map[string]string{loadedLabel: loaded}
		fields = append(fields, "labels."+loadedLabel)
	}
	_, err := rs.Create(ctx, record)
	if errdefs.IsAlreadyExists(err) && len(fields) > 0 {
		_, err = rs.Update(ctx, record, fields...)
	}
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return fmt.Errorf("keep image %q: %w", image.Familiar(name), err)
	}
	return nil
}

// put writes a record, whatever there was under its name.
func (rs records) put(ctx context.Context, record images.Image) (images.Image, error) {
	put, err := rs.Update(ctx, record, "target", "labels")
	if errdefs.IsNotFound(err) {
		put, err = rs.Create(ctx, record)
	}
	if errdefs.IsAlreadyExists(err) { // a copy came in between
		put, err = rs.Update(ctx, record, "target", "labels")
	}
	if err != nil {
		return images.Image{}, fmt.Errorf("name image %q: %w", image.Familiar(record.Name), err)
	}
	return put, nil
}

// drop deletes a record; what no other record names is collected at once.
func (rs records) drop(ctx context.Context, record images.Image) error {
	err := rs.Delete(ctx, record.Name, images.SynchronousDelete())
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("image %q: remove: %w", image.Familiar(record.Name), err)
	}
	return nil
}

// keptAs is the name that content is kept under, of a record with any name.
func keptAs(record images.Image) string {
	r, err := image.Parse(record.Name)
	if err != nil {
		return record.Name // nobody but us names images; shown as it is
	}
	return r.Pin(record.Target.Digest).Exact()
}

// named leaves out the records that only keep what a tag of the same
// repository stands for as well.
func named(records []images.Image) []images.Image {
	tagged := make(map[string]bool)
	for _, record := range records {
		if kept := keptAs(record); kept != record.Name {
			tagged[kept] = true
		}
	}
	list := make([]images.Image, 0, len(records))
	for _, record := range records {
		if !tagged[record.Name] {
			list = append(list, record)
		}
	}
	return list
}

// contentOf is the content that a container's image name means; "" for a name
// without a digest.
func contentOf(name string) digest.Digest {
	r, err := image.Parse(name)
	if err != nil {
		return ""
	}
	return r.Digest
}
