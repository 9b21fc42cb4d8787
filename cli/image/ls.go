package image

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/flags"
	"github.com/muster/muster/cli/render"
	nodepb "github.com/muster/muster/proto/node/v1"
)

type listOptions struct {
	name    string // only this repository, or repository:tag
	format  string
	digests bool
	noTrunc bool
	quiet   bool
}

func newListCommand(env *command.Env) *cobra.Command {
	var opts listOptions
	cmd := &cobra.Command{
		Use:               "ls [OPTIONS] [REPOSITORY[:TAG]]",
		Aliases:           []string{"list"},
		Short:             "List the images on this node",
		Args:              command.MaxArgs(1),
		ValidArgsFunction: command.Complete(env, 1, imageNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				opts.name = args[0]
			}
			return runList(cmd.Context(), env, opts)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&opts.format, "format", "", `"table", "table TEMPLATE", "json" or a Go template`)
	flags.On(fs, &opts.digests, "digests", "", "show digests")
	flags.On(fs, &opts.noTrunc, "no-trunc", "", "shorten nothing")
	flags.On(fs, &opts.quiet, "quiet", "q", "show ids only")
	return cmd
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

func runList(ctx context.Context, env *command.Env, opts listOptions) error {
	table := listTable(opts.digests)
	if err := table.Check(opts.format); err != nil {
		return err
	}
	local, err := env.Local()
	if err != nil {
		return err
	}
	r, err := local.ListImages(ctx, &nodepb.ListImagesRequest{})
	if err != nil {
		return fmt.Errorf("list images: %w", err)
	}
	images := r.GetImages()
	slices.SortFunc(images, func(a, b *nodepb.LocalImage) int {
		return cmp.Or(cmp.Compare(b.GetCreatedAt(), a.GetCreatedAt()), cmp.Compare(a.GetName(), b.GetName()))
	})
	var rows []render.Row
	for _, i := range images {
		row := listRow(env, i, opts.noTrunc)
		if opts.name == "" || opts.name == row["Repository"] || opts.name == row["Repository"]+":"+row["Tag"] {
			rows = append(rows, row)
		}
	}
	format := opts.format
	if opts.quiet {
		format = "{{.ID}}"
	}
	return table.Write(env.Out, format, rows)
}

func listRow(env *command.Env, i *nodepb.LocalImage, noTrunc bool) render.Row {
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
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return name, none
	}
	tag = none
	if t, ok := ref.(reference.Tagged); ok {
		tag = t.Tag()
	}
	return reference.FamiliarName(ref), tag
}
