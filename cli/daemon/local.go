package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"

	"github.com/muster/muster/dispatcher/listen"
	"github.com/muster/muster/dispatcher/rpcerror"
	"github.com/muster/muster/manager/forward"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	nodepb "github.com/muster/muster/proto/node/v1"
	"github.com/muster/muster/worker/images"
)

// serveLocal answers the client on this machine until ctx is done. Only root
// can open the socket; who can is trusted with everything.
func (d *Daemon) serveLocal(ctx context.Context) error {
	path := d.cfg.Socket()
	// The run folder's lock is held: a socket that is there is a dead one.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the old socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return fmt.Errorf("listen for the client: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return errors.Join(fmt.Errorf("protect the socket: %w", err), l.Close())
	}
	select {
	case <-d.resumed: // who connected meanwhile was kept waiting
	case <-ctx.Done():
		return l.Close()
	}
	opts := append(rpcerror.ServerOptions(),
		grpc.Creds(listen.ServerCredentials()),
		grpc.ForceServerCodecV2(forward.Codec()),
		grpc.UnknownServiceHandler(d.toManager),
		grpc.MaxRecvMsgSize(maxMessage),
	)
	s := grpc.NewServer(opts...)
	nodepb.RegisterLocalServiceServer(s, &local{daemon: d})
	return serve(ctx, s, listen.Local(l))
}

// toManager hands what a user asks of the cluster to this node's manager.
func (d *Daemon) toManager(srv any, stream grpc.ServerStream) error {
	m := d.member.Load()
	switch {
	case m == nil:
		return fmt.Errorf("this node is in no cluster: found one with \"muster swarm init\" or enter one with \"muster swarm join\": %w", errdefs.ErrFailedPrecondition)
	case m.manager == nil:
		return fmt.Errorf("this node is a worker, which knows only its own tasks: run the command on a manager (%s), or name one with --host: %w",
			join(m.managers()), errdefs.ErrFailedPrecondition)
	}
	return m.manager.Handler()(srv, stream)
}

// local implements LocalService.
type local struct {
	nodepb.UnimplementedLocalServiceServer
	daemon *Daemon
}

// GetStatus tells about the daemon and its place in a cluster.
func (l *local) GetStatus(ctx context.Context, _ *nodepb.GetStatusRequest) (*nodepb.GetStatusResponse, error) {
	d := l.daemon
	resp := &nodepb.GetStatusResponse{
		State:             nodepb.GetStatusResponse_STATE_INACTIVE,
		Version:           d.version,
		ContainerdVersion: d.runtime.version(ctx),
		ContainerdPid:     int32(d.runtime.pid()),
	}
	if m := d.member.Load(); m != nil {
		id := m.identity()
		resp.State = nodepb.GetStatusResponse_STATE_ACTIVE
		resp.NodeId, resp.ClusterId, resp.Role = id.NodeID, id.ClusterID, id.Role
		resp.NodeAddr = m.settings.Advertise.Addr().String()
		resp.Managers = m.managers()
		if err := m.trouble(); err != nil {
			resp.State, resp.Err = nodepb.GetStatusResponse_STATE_ERROR, err.Error()
		}
	}
	return resp, nil
}

// InitCluster makes this node the first manager of a new cluster.
func (l *local) InitCluster(ctx context.Context, r *nodepb.InitClusterRequest) (*nodepb.InitClusterResponse, error) {
	return l.daemon.initCluster(ctx, r)
}

// JoinCluster makes this node a member.
func (l *local) JoinCluster(ctx context.Context, r *nodepb.JoinClusterRequest) (*nodepb.JoinClusterResponse, error) {
	return l.daemon.joinCluster(ctx, r)
}

// LeaveCluster stops this node's tasks and forgets the cluster.
func (l *local) LeaveCluster(ctx context.Context, r *nodepb.LeaveClusterRequest) (*nodepb.LeaveClusterResponse, error) {
	return &nodepb.LeaveClusterResponse{}, l.daemon.leaveCluster(ctx, r.GetForce())
}

// ListImages lists what this node holds.
func (l *local) ListImages(ctx context.Context, _ *nodepb.ListImagesRequest) (*nodepb.ListImagesResponse, error) {
	all, err := l.daemon.runtime.images.List(ctx)
	return &nodepb.ListImagesResponse{Images: all}, err
}

// RemoveImage removes an image from this node.
func (l *local) RemoveImage(ctx context.Context, r *nodepb.RemoveImageRequest) (*nodepb.RemoveImageResponse, error) {
	removed, err := l.daemon.runtime.images.Remove(ctx, r.GetImage(), r.GetForce())
	return &nodepb.RemoveImageResponse{Removed: removed}, err
}

// PullImage fetches an image from its registry or from another node.
func (l *local) PullImage(r *nodepb.PullImageRequest, stream nodepb.LocalService_PullImageServer) error {
	p := newProgress(func(p *nodepb.ImageProgress) error {
		return stream.Send(&nodepb.PullImageResponse{Progress: p})
	})
	image, err := l.daemon.runtime.images.Pull(stream.Context(), r.GetImage(), r.GetRegistryAuth(), p.tell)
	return p.end(err, image)
}

// LoadImage takes a docker-archive or OCI layout tar.
func (l *local) LoadImage(stream nodepb.LocalService_LoadImageServer) error {
	p := newProgress(func(p *nodepb.ImageProgress) error {
		return stream.Send(&nodepb.LoadImageResponse{Progress: p})
	})
	loaded, err := l.daemon.runtime.images.Load(stream.Context(), &upload{receive: stream.Recv}, p.tell)
	return p.end(err, loaded...)
}

// upload reads the archive that a client sends.
type upload struct {
	receive func() (*nodepb.LoadImageRequest, error)
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
	send    func(*nodepb.ImageProgress) error
}

// newProgress sends from one goroutine, since streams allow no more, and
// keeps only the latest news: who transfers must not wait for who watches.
func newProgress(send func(*nodepb.ImageProgress) error) *progress {
	p := &progress{updates: make(chan images.Progress, 1), sent: make(chan error, 1), send: send}
	go func() {
		var err error
		for u := range p.updates {
			if err == nil {
				err = send(&nodepb.ImageProgress{Stage: u.Stage, DoneBytes: u.Done, TotalBytes: u.Total})
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
	return p.send(&nodepb.ImageProgress{Stage: "done", Images: loaded})
}

// Diagnose compares the kernel with what it should hold.
func (l *local) Diagnose(ctx context.Context, _ *nodepb.DiagnoseRequest) (*nodepb.DiagnoseResponse, error) {
	m := l.daemon.member.Load()
	if m == nil {
		return nil, fmt.Errorf("this node is in no cluster: there is nothing to compare: %w", errdefs.ErrFailedPrecondition)
	}
	differences, err := m.plane.Diff(ctx)
	if err != nil {
		return nil, err
	}
	return &nodepb.DiagnoseResponse{Differences: differences, AppliedIndex: m.applied(), Repairs: m.plane.Repairs()}, nil
}
