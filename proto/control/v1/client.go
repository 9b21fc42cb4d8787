// Package controlv1 is what clients ask of a cluster: a service for each noun.
package controlv1

import "google.golang.org/grpc"

// Client asks for everything that the managers answer: a noun's client each.
type Client interface {
	ClusterServiceClient
	NodeServiceClient
	ServiceServiceClient
	TaskServiceClient
	LogServiceClient
}

// NewClient returns a client of all nouns over one connection.
func NewClient(conn grpc.ClientConnInterface) Client {
	return struct {
		ClusterServiceClient
		NodeServiceClient
		ServiceServiceClient
		TaskServiceClient
		LogServiceClient
	}{
		NewClusterServiceClient(conn), NewNodeServiceClient(conn), NewServiceServiceClient(conn), NewTaskServiceClient(conn), NewLogServiceClient(conn),
	}
}
