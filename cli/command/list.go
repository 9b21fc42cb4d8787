package command

import (
	"context"

	"google.golang.org/protobuf/proto"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/page"
)

// Nodes lists all nodes.
func Nodes(ctx context.Context, client controlpb.NodeServiceClient) ([]*controlpb.NodeView, error) {
	return page.All(func(token string) ([]*controlpb.NodeView, string, error) {
		r, err := client.ListNodes(ctx, &controlpb.ListNodesRequest{PageToken: token})
		return r.GetNodes(), r.GetNextPageToken(), err
	})
}

// Services lists all services.
func Services(ctx context.Context, client controlpb.ServiceServiceClient) ([]*controlpb.ServiceView, error) {
	return page.All(func(token string) ([]*controlpb.ServiceView, string, error) {
		r, err := client.ListServices(ctx, &controlpb.ListServicesRequest{PageToken: token})
		return r.GetServices(), r.GetNextPageToken(), err
	})
}

// Tasks lists all tasks that request, which names no page, asks for.
func Tasks(ctx context.Context, client controlpb.TaskServiceClient, request *controlpb.ListTasksRequest) ([]*clusterpb.Task, error) {
	return page.All(func(token string) ([]*clusterpb.Task, string, error) {
		next := proto.CloneOf(request)
		next.PageToken = token
		r, err := client.ListTasks(ctx, next)
		return r.GetTasks(), r.GetNextPageToken(), err
	})
}

// Images lists all images of the node that answers.
func Images(ctx context.Context, client controlpb.ImageServiceClient) ([]*controlpb.LocalImage, error) {
	return page.All(func(token string) ([]*controlpb.LocalImage, string, error) {
		r, err := client.ListImages(ctx, &controlpb.ListImagesRequest{PageToken: token})
		return r.GetImages(), r.GetNextPageToken(), err
	})
}
