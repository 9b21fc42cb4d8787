package command_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"

	"github.com/muster/muster/cli/command"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
)

// paged answers every list with two pages of one object.
type paged struct {
	controlpb.NodeServiceClient
	controlpb.ServiceServiceClient
	controlpb.TaskServiceClient
	controlpb.ImageServiceClient
}

func id(token string) (id, next string) {
	if token == "" {
		return "first", "more"
	}
	return "after " + token, ""
}

func (paged) ListNodes(_ context.Context, r *controlpb.ListNodesRequest, _ ...grpc.CallOption) (*controlpb.ListNodesResponse, error) {
	id, next := id(r.GetPageToken())
	return &controlpb.ListNodesResponse{Nodes: []*controlpb.NodeView{{Node: &clusterpb.Node{Id: id}}}, NextPageToken: next}, nil
}

func (paged) ListServices(_ context.Context, r *controlpb.ListServicesRequest, _ ...grpc.CallOption) (*controlpb.ListServicesResponse, error) {
	id, next := id(r.GetPageToken())
	return &controlpb.ListServicesResponse{Services: []*controlpb.ServiceView{{Service: &clusterpb.Service{Id: id}}}, NextPageToken: next}, nil
}

func (paged) ListTasks(_ context.Context, r *controlpb.ListTasksRequest, _ ...grpc.CallOption) (*controlpb.ListTasksResponse, error) {
	id, next := id(r.GetPageToken())
	return &controlpb.ListTasksResponse{Tasks: []*clusterpb.Task{{Id: id, ServiceId: r.GetServiceIds()[0]}}, NextPageToken: next}, nil
}

func (paged) ListImages(_ context.Context, r *controlpb.ListImagesRequest, _ ...grpc.CallOption) (*controlpb.ListImagesResponse, error) {
	id, next := id(r.GetPageToken())
	return &controlpb.ListImagesResponse{Images: []*controlpb.LocalImage{{Name: id}}, NextPageToken: next}, nil
}

// TestListsAreWhole: a list is all of its pages.
func TestListsAreWhole(t *testing.T) {
	var got []string
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	nodes, err := command.Nodes(t.Context(), paged{})
	check(err)
	for _, n := range nodes {
		got = append(got, "node "+n.GetNode().GetId())
	}
	services, err := command.Services(t.Context(), paged{})
	check(err)
	for _, s := range services {
		got = append(got, "service "+s.GetService().GetId())
	}
	tasks, err := command.Tasks(t.Context(), paged{}, &controlpb.ListTasksRequest{ServiceIds: []string{"web"}})
	check(err)
	for _, x := range tasks {
		got = append(got, "task "+x.GetId()+" of "+x.GetServiceId())
	}
	images, err := command.Images(t.Context(), paged{})
	check(err)
	for _, i := range images {
		got = append(got, "image "+i.GetName())
	}
	want := []string{
		"node first", "node after more", "service first", "service after more",
		"task first of web", "task after more of web", "image first", "image after more",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lists (-want +got):\n%s", diff)
	}
}
