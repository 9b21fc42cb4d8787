package image

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/logprint"
	"github.com/muster/muster/cli/noun"
	"github.com/muster/muster/cli/render"
	controlpb "github.com/muster/muster/proto/control/v1"
)

// listFilters are Docker's for what this list tells of an image.
func listFilters(now func() time.Time) []noun.Filter[*controlpb.LocalImage] {
	return []noun.Filter[*controlpb.LocalImage]{
		{Key: "before"}, // this and since are relative to an image of the list: see bounds
		noun.Word("dangling", func(i *controlpb.LocalImage) string {
			_, tag := split(i.GetName())
			return strconv.FormatBool(tag == none)
		}, "true", "false"),
		noun.Labels("label", (*controlpb.LocalImage).GetLabels),
		{Key: "reference", Check: checkReferences, Match: func(f render.Filters, i *controlpb.LocalImage) bool {
			return len(f["reference"]) == 0 || slices.ContainsFunc(f["reference"], func(p string) bool { return fits(p, i.GetName()) })
		}},
		{Key: "since"},
		{Key: "until", Check: func(f render.Filters) error {
			_, err := untils(f, now())
			return err
		}},
	}
}

// untils reads the times of until.
func untils(f render.Filters, now time.Time) (list []time.Time, err error) {
	for _, v := range f["until"] {
		t, err := logprint.ParseTime(v, now)
		if err != nil {
			return nil, command.Misusef("--filter %q: until %w", "until="+v, err)
		}
		list = append(list, t)
	}
	return list, nil
}

// bounds says when images were built that before, since and until let through:
// all values of a key count, as in Docker. An image that does not say when it
// was built is the oldest.
func bounds(f render.Filters, all []*controlpb.LocalImage, now time.Time) (within func(*controlpb.LocalImage) bool, err error) {
	before, err := untils(f, now)
	if err != nil {
		return nil, err
	}
	var after []time.Time
	for _, of := range []struct {
		key  string
		into *[]time.Time
	}{{"before", &before}, {"since", &after}} {
		for _, v := range f[of.key] {
			i, err := find(all, v)
			if err != nil {
				return nil, fmt.Errorf("--filter %q: %w", of.key+"="+v, err)
			}
			*of.into = append(*of.into, i.GetCreatedAt().AsTime())
		}
	}
	return func(i *controlpb.LocalImage) bool {
		built := i.GetCreatedAt().AsTime()
		return !slices.ContainsFunc(before, func(t time.Time) bool { return !built.Before(t) }) &&
			!slices.ContainsFunc(after, func(t time.Time) bool { return !built.After(t) })
	}, nil
}
