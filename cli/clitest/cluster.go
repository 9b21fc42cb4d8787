package clitest

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/muster/muster/cli"
	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/dispatcher/rpcerror"
	"github.com/muster/muster/proto/call"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	logspb "github.com/muster/muster/proto/logs/v1"
	nodepb "github.com/muster/muster/proto/node/v1"
)

// Now is the time that commands see.
func Now() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

// Request is a call that a command made.
type Request struct {
	Method    string // without the service: CreateService
	RequestID string // the metadata of that name
	Message   proto.Message
}

// Cluster is the server. Its fields are set before commands run.
type Cluster struct {
	controlpb.UnimplementedClusterServiceServer
	controlpb.UnimplementedNodeServiceServer
	controlpb.UnimplementedServiceServiceServer
	controlpb.UnimplementedTaskServiceServer
	controlpb.UnimplementedLogServiceServer
	controlpb.UnimplementedImageServiceServer
	nodepb.UnimplementedLocalServiceServer

	// Nodes are those of the cluster; the first is the one commands run on.
	Nodes []*controlpb.NodeView
	// Outcome is how every update ends; completed when unset.
	Outcome clusterpb.UpdateStatus_State
	// Logs answer every subscription.
	Logs []*logspb.LogMessage
	// Status is what LocalService.GetStatus answers.
	Status *nodepb.GetStatusResponse
	// Images are what this node holds; Loaded is what LoadImage was sent.
	Images []*controlpb.LocalImage
	Loaded bytes.Buffer
	// Differences are what Diagnose answers.
	Differences []string

	socket string

	mu       sync.Mutex
	version  uint64
	services map[string]*clusterpb.Service // by id
	tasks    []*clusterpb.Task
	spec     *clusterpb.ClusterSpec
	requests []Request
	failures map[string][]error // by method, the next first
}

// Start runs a cluster of two nodes until the test ends.
func Start(t *testing.T) *Cluster {
	t.Helper()
	dir, err := os.MkdirTemp("", "muster-cli-") //nolint:usetesting // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	c := &Cluster{
		socket:   filepath.Join(dir, "muster.sock"),
		version:  10,
		services: make(map[string]*clusterpb.Service),
		failures: make(map[string][]error),
		spec:     &clusterpb.ClusterSpec{},
		Nodes:    []*controlpb.NodeView{node("alpha", true), node("beta", false)},
	}
	c.Status = &nodepb.GetStatusResponse{
		State: nodepb.GetStatusResponse_STATE_ACTIVE, NodeId: c.Nodes[0].GetNode().GetId(), ClusterId: "cluster",
		Role: clusterpb.NodeRole_NODE_ROLE_MANAGER, Version: "1.0", ContainerdVersion: "2.4", NodeAddr: "192.0.2.1",
		Managers: []string{"192.0.2.1:2377"},
	}
	listener, err := net.Listen("unix", c.socket)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(append(rpcerror.ServerOptions(), grpc.ChainUnaryInterceptor(c.record), grpc.ChainStreamInterceptor(c.recordStream))...)
	controlpb.RegisterClusterServiceServer(server, c)
	controlpb.RegisterNodeServiceServer(server, c)
	controlpb.RegisterServiceServiceServer(server, c)
	controlpb.RegisterTaskServiceServer(server, c)
	controlpb.RegisterLogServiceServer(server, c)
	controlpb.RegisterImageServiceServer(server, c)
	nodepb.RegisterLocalServiceServer(server, c)
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(listener); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(func() {
		server.Stop()
		serving.Wait()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return c
}

// Host is where the cluster listens, as --host takes it.
func (c *Cluster) Host() string { return "unix://" + c.socket }

// Result is what a command left behind.
type Result struct {
	Out, Err string
	Status   int
}

// Run runs a command line on the first node.
func (c *Cluster) Run(t *testing.T, args ...string) Result {
	t.Helper()
	return c.RunWith(t, "", args...)
}

// RunWith is Run with standard input.
func (c *Cluster) RunWith(t *testing.T, input string, args ...string) Result {
	t.Helper()
	env, closeConn := command.NewEnv(strings.NewReader(input), os.Stdout, os.Stderr, "1.0")
	defer func() {
		if err := closeConn(); err != nil {
			t.Errorf("close the connection: %v", err)
		}
	}()
	var stdout, stderr bytes.Buffer
	env.Out, env.Err, env.Terminal, env.Now, env.Host = &stdout, &stderr, false, Now, c.Host()
	env.LookupEnv = func(string) (string, bool) { return "", false }
	status := cli.Run(t.Context(), env, args)
	return Result{stdout.String(), stderr.String(), status}
}

// Requests returns the requests of a method, in order.
func (c *Cluster) Requests(method string) (list []Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.requests {
		if r.Method == method {
			list = append(list, r)
		}
	}
	return list
}

// Fail makes the next calls of a method fail, once for each error; a nil
// error lets a call through.
func (c *Cluster) Fail(method string, errs ...error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failures[method] = append(c.failures[method], errs...)
}

func (c *Cluster) record(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	message, _ := req.(proto.Message)
	if err := c.note(ctx, info.FullMethod, message); err != nil {
		return nil, err
	}
	return handler(ctx, req)
}

func (c *Cluster) recordStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if err := c.note(stream.Context(), info.FullMethod, nil); err != nil {
		return err
	}
	return handler(srv, stream)
}

// note records a call and returns the error it should have.
func (c *Cluster) note(ctx context.Context, fullMethod string, message proto.Message) error {
	method := fullMethod[strings.LastIndex(fullMethod, "/")+1:]
	md, _ := metadata.FromIncomingContext(ctx)
	r := Request{Method: method, RequestID: strings.Join(md.Get(call.RequestIDKey), ",")}
	if message != nil {
		r.Message = proto.Clone(message)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests = append(c.requests, r)
	if list := c.failures[method]; len(list) > 0 {
		c.failures[method] = list[1:]
		return list[0]
	}
	return nil
}
