package image

import (
	"context"

	"github.com/muster/muster/cli/command"
	nodepb "github.com/muster/muster/proto/node/v1"
)

// imageNames lists the images on this node as users write them.
func imageNames(ctx context.Context, env *command.Env) ([]string, error) {
	local, err := env.Local()
	if err != nil {
		return nil, err
	}
	r, err := local.ListImages(ctx, &nodepb.ListImagesRequest{})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, i := range r.GetImages() {
		if repository, tag := split(i.GetName()); tag != none {
			names = append(names, repository+":"+tag)
		}
	}
	return names, nil
}
