package image

import (
	"errors"
	"fmt"
	"io"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/render"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
)

// watch shows how a load or pull goes, in one line that is rewritten, and
// returns what it brought. Without a terminal it shows each stage once.
func watch(env *command.Env, quiet bool, recv func() (*controlpb.ImageProgress, error)) ([]*clusterpb.NodeImage, error) {
	var images []*clusterpb.NodeImage
	stage, open := "", false
	defer func() {
		if open {
			fmt.Fprintln(env.Err)
		}
	}()
	for {
		p, err := recv()
		if errors.Is(err, io.EOF) {
			return images, nil
		}
		if err != nil {
			return nil, err
		}
		images = append(images, p.GetImages()...)
		switch {
		case quiet:
		case env.Screen != nil:
			open = true
			columns, _ := env.Screen()
			fmt.Fprintf(env.Err, "\r\x1b[2K%s", render.Ellipsis(line(p), columns))
		case p.GetStage() != stage:
			fmt.Fprintln(env.Err, p.GetStage())
		}
		stage = p.GetStage()
	}
}

func line(p *controlpb.ImageProgress) string {
	switch {
	case p.GetTotalBytes() > 0:
		return fmt.Sprintf("%s %s of %s", p.GetStage(), render.Size(p.GetDoneBytes()), render.Size(p.GetTotalBytes()))
	case p.GetDoneBytes() > 0:
		return fmt.Sprintf("%s %s", p.GetStage(), render.Size(p.GetDoneBytes()))
	}
	return p.GetStage()
}
