package daemon

import (
	"context"
	"io"
	"slices"

	containerd "github.com/containerd/containerd/v2/core/images"

	"github.com/muster/muster/cli/daemon/node"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	nodepb "github.com/muster/muster/proto/node/v1"
	"github.com/muster/muster/proto/page"
	"github.com/muster/muster/worker/images"
)

// local implements LocalService and ImageService: a node, and the images it
// holds.
type local struct {
	controlpb.UnimplementedImageServiceServer
	node.Local
	runtime *runtime
}

var _ nodepb.LocalServiceServer = (*local)(nil)

// GetStatus tells about the daemon and its place in a cluster.
func (l *local) GetStatus(ctx context.Context, r *nodepb.GetStatusRequest) (*nodepb.GetStatusResponse, error) {
	resp, err := l.Local.GetStatus(ctx, r)
	resp.ContainerdVersion, resp.ContainerdPid = l.runtime.version(ctx), int32(l.runtime.pid())
	return resp, err
}

// ListImages lists what this node holds, a page at a time.
func (l *local) ListImages(ctx context.Context, r *controlpb.ListImagesRequest) (*controlpb.ListImagesResponse, error) {
	p, err := page.Of("images", r)
	if err != nil {
		return nil, err
	}
	records, view, err := l.runtime.images.List(ctx)
	if err != nil {
		return nil, err
	}
	resp := &controlpb.ListImagesResponse{}
	resp.Images, resp.NextPageToken = page.Cut(p, slices.Values(records), func(i containerd.Image) string { return i.Name }, view)
	return resp, nil
}

// RemoveImage removes an image from this node.
func (l *local) RemoveImage(ctx context.Context, r *controlpb.RemoveImageRequest) (*controlpb.RemoveImageResponse, error) {
	users := func(ctx context.Context, r *dispatchpb.FindImageUsersRequest) (*dispatchpb.FindImageUsersResponse, error) {
		return node.ImageUsers(ctx, l.Node, r)
	}
	return l.runtime.images.Remove(ctx, r.GetImage(), r.GetForce(), users)
}

// PullImage fetches an image from its registry or from another node.
func (l *local) PullImage(r *controlpb.PullImageRequest, stream controlpb.ImageService_PullImageServer) error {
	p := newProgress(func(p *controlpb.ImageProgress) error {
		return stream.Send(&controlpb.PullImageResponse{Progress: p})
	})
	image, err := l.runtime.images.Pull(stream.Context(), r.GetImage(), r.GetRegistryAuth(), p.tell)
	return p.end(err, image)
}

// LoadImage takes a docker-archive or OCI layout tar.
func (l *local) LoadImage(stream controlpb.ImageService_LoadImageServer) error {
	p := newProgress(func(p *controlpb.ImageProgress) error {
		return stream.Send(&controlpb.LoadImageResponse{Progress: p})
	})
	loaded, err := l.runtime.images.Load(stream.Context(), &upload{receive: stream.Recv}, p.tell)
	return p.end(err, loaded...)
}

// upload reads the archive that a client sends.
type upload struct {
	receive func() (*controlpb.LoadImageRequest, error)
	rest    []byte
}

// Read implements io.Reader.
func (u *upload) Read(p []byte) (int, error) {
	for len(u.rest) == 0 {
		r, err := u.receive()
		if err != nil {
			return 0, err // io.EOF at the end
		}
		u.rest = r.GetData()
	}
	n := copy(p, u.rest)
	u.rest = u.rest[n:]
	return n, nil
}

var _ io.Reader = (*upload)(nil)

// progress tells a client how far an image is.
type progress struct {
	updates chan images.Progress
	sent    chan error
	send    func(*controlpb.ImageProgress) error
}

// newProgress sends from one goroutine, since streams allow no more, and
// keeps only the latest news: who transfers must not wait for who watches.
func newProgress(send func(*controlpb.ImageProgress) error) *progress {
	p := &progress{updates: make(chan images.Progress, 1), sent: make(chan error, 1), send: send}
	go func() {
		var err error
		for u := range p.updates {
			if err == nil {
				err = send(&controlpb.ImageProgress{Stage: u.Stage, DoneBytes: u.Done, TotalBytes: u.Total})
			}
		}
		p.sent <- err
	}()
	return p
}

func (p *progress) tell(u images.Progress) {
	select {
	case p.updates <- u:
	default:
	}
}

// end sends the outcome.
func (p *progress) end(err error, loaded ...*clusterpb.NodeImage) error {
	close(p.updates)
	if sendErr := <-p.sent; err == nil {
		err = sendErr
	}
	if err != nil {
		return err
	}
	return p.send(&controlpb.ImageProgress{Stage: "done", Images: loaded})
}
