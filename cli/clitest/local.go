package clitest

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	nodepb "github.com/muster/muster/proto/node/v1"
)

// GetStatus returns Status.
func (c *Cluster) GetStatus(context.Context, *nodepb.GetStatusRequest) (*nodepb.GetStatusResponse, error) {
	return c.Status, nil
}

// InitCluster answers with tokens.
func (c *Cluster) InitCluster(context.Context, *nodepb.InitClusterRequest) (*nodepb.InitClusterResponse, error) {
	return &nodepb.InitClusterResponse{
		NodeId: "node", WorkerToken: "MSTR-1-digest-worker", ManagerToken: "MSTR-1-digest-manager", ControlAddr: "192.0.2.1:2377",
	}, nil
}

// JoinCluster answers that the node is a worker.
func (c *Cluster) JoinCluster(context.Context, *nodepb.JoinClusterRequest) (*nodepb.JoinClusterResponse, error) {
	return &nodepb.JoinClusterResponse{NodeId: "node", Role: clusterpb.NodeRole_NODE_ROLE_WORKER}, nil
}

// LeaveCluster lets a node go by force only.
func (c *Cluster) LeaveCluster(_ context.Context, r *nodepb.LeaveClusterRequest) (*nodepb.LeaveClusterResponse, error) {
	if !r.GetForce() {
		return nil, fmt.Errorf("this node is a manager: leave with --force: %w", errdefs.ErrFailedPrecondition)
	}
	return &nodepb.LeaveClusterResponse{}, nil
}

// Diagnose returns Differences.
func (c *Cluster) Diagnose(context.Context, *nodepb.DiagnoseRequest) (*nodepb.DiagnoseResponse, error) {
	return &nodepb.DiagnoseResponse{Differences: c.Differences, AppliedIndex: 42, Repairs: 1}, nil
}

// LoadImage takes what it is sent.
func (c *Cluster) LoadImage(stream grpc.BidiStreamingServer[controlpb.LoadImageRequest, controlpb.LoadImageResponse]) error {
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		c.Loaded.Write(r.GetData())
		if err := stream.Send(&controlpb.LoadImageResponse{Progress: &controlpb.ImageProgress{Stage: "fetching", DoneBytes: int64(c.Loaded.Len())}}); err != nil {
			return err
		}
	}
	if c.Loaded.Len() == 0 {
		return fmt.Errorf("the archive is empty: %w", errdefs.ErrInvalidArgument)
	}
	images := []*clusterpb.NodeImage{{Name: "docker.io/library/nginx:1.29"}}
	return stream.Send(&controlpb.LoadImageResponse{Progress: &controlpb.ImageProgress{Stage: "done", Images: images}})
}

// PullImage fetches at once.
func (c *Cluster) PullImage(r *controlpb.PullImageRequest, stream grpc.ServerStreamingServer[controlpb.PullImageResponse]) error {
	for _, stage := range []string{"resolving", "fetching", "fetching"} {
		if err := stream.Send(&controlpb.PullImageResponse{Progress: &controlpb.ImageProgress{Stage: stage, DoneBytes: 5, TotalBytes: 10}}); err != nil {
			return err
		}
	}
	images := []*clusterpb.NodeImage{{Name: "docker.io/library/" + r.GetImage()}}
	return stream.Send(&controlpb.PullImageResponse{Progress: &controlpb.ImageProgress{Stage: "done", Images: images}})
}

// ListImages returns Images.
func (c *Cluster) ListImages(context.Context, *controlpb.ListImagesRequest) (*controlpb.ListImagesResponse, error) {
	return &controlpb.ListImagesResponse{Images: c.Images}, nil
}

// RemoveImage removes what is called nginx.
func (c *Cluster) RemoveImage(_ context.Context, r *controlpb.RemoveImageRequest) (*controlpb.RemoveImageResponse, error) {
	if r.GetImage() != "nginx" {
		return nil, fmt.Errorf("no image %q: %w", r.GetImage(), errdefs.ErrNotFound)
	}
	return &controlpb.RemoveImageResponse{Removed: []string{"docker.io/library/nginx:latest"}}, nil
}

// SubscribeLogs sends Logs.
func (c *Cluster) SubscribeLogs(r *controlpb.SubscribeLogsRequest, stream grpc.ServerStreamingServer[controlpb.SubscribeLogsResponse]) error {
	c.mu.Lock()
	c.requests = append(c.requests, Request{Method: "SubscribeLogs", Message: r})
	c.mu.Unlock()
	return stream.Send(&controlpb.SubscribeLogsResponse{Messages: c.Logs})
}
