package image

import (
	"context"

	"github.com/muster/muster/cli/command"
)

// imageNames lists the images on this node as users write them.
func imageNames(ctx context.Context, env *command.Env) ([]string, error) {
	node, err := env.Images()
	if err != nil {
		return nil, err
	}
	all, err := command.Images(ctx, node)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, i := range all {
		if repository, tag := split(i.GetName()); tag != none {
			names = append(names, repository+":"+tag)
		}
	}
	return names, nil
}
