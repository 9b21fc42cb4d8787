package image

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/flags"
	"github.com/muster/muster/cli/noun"
	"github.com/muster/muster/cli/render"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/image"
)

func newListCommand(env *command.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "ls [OPTIONS] [PATTERN]",
		Aliases: []string{"list"},
		Short:   "List the images on this node",
		Long: "List the images on this node: all, or those whose REPOSITORY[:TAG] the pattern fits,\n" +
			"in which * ? and [a-z] stand for others, as in 'nginx:1.*'.",
		Args:              command.MaxArgs(1),
		ValidArgsFunction: command.Complete(env, 1, imageNames),
	}
	var digests, noTrunc bool
	flags.On(cmd.Flags(), &digests, "digests", "", "show digests")
	flags.On(cmd.Flags(), &noTrunc, "no-trunc", "", "do not shorten output")
	return noun.List[controlpb.ImageServiceClient, *controlpb.LocalImage]{
		Connect: env.Images,
		Table:   func() render.Table { return listTable(digests) },
		Filters: listFilters(),
		Find:    list,
		Compare: func(a, b *controlpb.LocalImage) int {
			return cmp.Or(cmp.Compare(b.GetCreatedAt(), a.GetCreatedAt()), cmp.Compare(a.GetName(), b.GetName()))
		},
		Rows: noun.Each(func(i *controlpb.LocalImage) render.Row { return listRow(env, i, noTrunc) }),
	}.Command(env, cmd)
}

// listFilters are Docker's for what this list tells of an image.
func listFilters() []noun.Filter[*controlpb.LocalImage] {
	return []noun.Filter[*controlpb.LocalImage]{
		noun.Word("dangling", func(i *controlpb.LocalImage) string {
			_, tag := split(i.GetName())
			return strconv.FormatBool(tag == none)
		}, "true", "false"),
		{Key: "reference", Check: checkReferences, Match: func(f render.Filters, i *controlpb.LocalImage) bool {
			return len(f["reference"]) == 0 || slices.ContainsFunc(f["reference"], func(p string) bool { return fits(p, i.GetName()) })
		}},
	}
}

func checkReferences(f render.Filters) error {
	for _, p := range f["reference"] {
		if err := checkPattern(p); err != nil {
			return err
		}
	}
	return nil
}

func checkPattern(p string) error {
	if _, err := path.Match(p, ""); err != nil {
		return command.Misusef("pattern %q: %w: want REPOSITORY[:TAG], in which * ? and [a-z] stand for others", p, err)
	}
	return nil
}

// list finds all images, or those that a pattern of shells fits.
func list(ctx context.Context, node controlpb.ImageServiceClient, args []string, _ render.Filters) ([]*controlpb.LocalImage, error) {
	if len(args) > 0 {
		if err := checkPattern(args[0]); err != nil {
			return nil, err
		}
	}
	all, err := command.Images(ctx, node)
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	if len(args) == 0 {
		return all, nil
	}
	return slices.DeleteFunc(all, func(i *controlpb.LocalImage) bool { return !fits(args[0], i.GetName()) }), nil
}

// fits reports whether a well-formed pattern fits a full name, as it is or as
// people write it, with its tag or digest or without.
func fits(pattern, name string) bool {
	forms := []string{name}
	if ref, err := image.Parse(name); err == nil {
		forms = append(forms, ref.Repository, ref.Familiar(), ref.FamiliarName())
		if ref.Tag == "" {
			forms = append(forms, ref.FamiliarName()+":"+none)
		}
	}
	return slices.ContainsFunc(forms, func(form string) bool {
		fit, err := path.Match(pattern, form)
		return err == nil && fit
	})
}

func listTable(digests bool) render.Table {
	return render.Table{
		{Field: "Repository", Header: "REPOSITORY"},
		{Field: "Tag", Header: "TAG"},
		{Field: "Digest", Header: "DIGEST", Hidden: !digests},
		{Field: "ID", Header: "IMAGE ID"},
		{Field: "CreatedSince", Header: "CREATED"},
		{Field: "Size", Header: "SIZE"},
		{Field: "Containers", Header: "CONTAINERS"},
		{Field: "Platforms", Header: "PLATFORMS", Hidden: true},
		{Field: "CreatedAt", Header: "CREATED AT", Hidden: true},
	}
}

func listRow(env *command.Env, i *controlpb.LocalImage, noTrunc bool) render.Row {
	repository, tag := split(i.GetName())
	imageID := i.GetDigest()
	if !noTrunc {
		_, hex, _ := strings.Cut(imageID, ":")
		imageID = render.ID(hex, false)
	}
	created := timestamppb.New(time.Unix(i.GetCreatedAt(), 0))
	if i.GetCreatedAt() == 0 {
		created = nil // the image does not say
	}
	row := render.Row{
		"Repository":   repository,
		"Tag":          tag,
		"Digest":       i.GetDigest(),
		"ID":           imageID,
		"CreatedSince": render.Ago(created, env.Now()),
		"Size":         render.Size(i.GetSizeBytes()),
		"Containers":   strconv.FormatUint(uint64(i.GetUsedBy()), 10),
		"Platforms":    strings.Join(i.GetPlatforms(), ", "),
		"CreatedAt":    "",
	}
	if created != nil {
		row["CreatedAt"] = created.AsTime().Format(time.RFC3339)
	}
	return row
}

// none stands for the tag of an image that has none.
const none = "<none>"

// split takes a name apart as people write it.
func split(name string) (repository, tag string) {
	ref, err := image.Parse(name)
	if err != nil {
		return name, none
	}
	return ref.FamiliarName(), cmp.Or(ref.Tag, none)
}
