package image

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

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
		Filters: listFilters(env.Now),
		Find: func(ctx context.Context, node controlpb.ImageServiceClient, args []string, f render.Filters) ([]*controlpb.LocalImage, error) {
			return list(ctx, node, args, f, env.Now())
		},
		Compare: func(a, b *controlpb.LocalImage) int {
			return cmp.Or(b.GetCreatedAt().AsTime().Compare(a.GetCreatedAt().AsTime()), cmp.Compare(a.GetName(), b.GetName()))
		},
		Rows: noun.Each(func(i *controlpb.LocalImage) render.Row { return listRow(env, i, noTrunc) }),
	}.Command(env, cmd)
}

// list finds all images, or those that a pattern of shells fits.
func list(ctx context.Context, node controlpb.ImageServiceClient, args []string, f render.Filters, now time.Time) ([]*controlpb.LocalImage, error) {
	if len(args) > 0 {
		if err := checkPattern(args[0]); err != nil {
			return nil, err
		}
	}
	all, err := command.Images(ctx, node)
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	within, err := bounds(f, all, now)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(i *controlpb.LocalImage) bool {
		return !within(i) || len(args) > 0 && !fits(args[0], i.GetName())
	}), nil
}

func listTable(digests bool) render.Table {
	return render.Table{
		{Field: "Repository", Header: "REPOSITORY"},
		{Field: "Tag", Header: "TAG"},
		{Field: "Digest", Header: "DIGEST", Hidden: !digests},
		{Field: "ID", Header: "IMAGE ID"},
		{Field: "CreatedSince", Header: "CREATED"},
		{Field: "Size", Header: "SIZE"},
		{Field: "Containers", Header: "CONTAINERS", Hidden: true},
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
	created := i.GetCreatedAt() // unset where the image does not say
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
