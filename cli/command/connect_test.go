package command

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/muster/muster/dispatcher/mtls"
	"github.com/muster/muster/dispatcher/mtls/mtlstest"
	"github.com/muster/muster/dispatcher/rpcerror"
	"github.com/muster/muster/proto/call"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
)

// shortDir returns a directory whose path a socket's name still fits into.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "muster-cli-") //nolint:usetesting // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// testEnv returns an environment for a host.
func testEnv(t *testing.T, host string) *Env {
	t.Helper()
	env, closeConn := NewEnv(nil, os.Stdout, os.Stderr, "test")
	t.Cleanup(func() {
		if err := closeConn(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	env.Err, env.Host = new(bytes.Buffer), host
	env.LookupEnv = func(string) (string, bool) { return "", false }
	return env
}

type noService struct {
	controlpb.UnimplementedServiceServiceServer
	controlpb.UnimplementedTaskServiceServer
}

func (noService) GetService(context.Context, *controlpb.GetServiceRequest) (*controlpb.GetServiceResponse, error) {
	return nil, errdefs.ErrNotFound.WithMessage("no service")
}

func (noService) ListTasks(context.Context, *controlpb.ListTasksRequest) (*controlpb.ListTasksResponse, error) {
	long := strings.Repeat("x", 5<<20)
	return &controlpb.ListTasksResponse{Tasks: []*clusterpb.Task{{Status: &clusterpb.TaskStatus{Err: long}}}}, nil
}

// serve runs a control API on a listener until the test ends.
func serve(t *testing.T, listener net.Listener, opts ...grpc.ServerOption) {
	t.Helper()
	server := grpc.NewServer(append(opts, rpcerror.ServerOptions()...)...)
	controlpb.RegisterServiceServiceServer(server, noService{})
	controlpb.RegisterTaskServiceServer(server, noService{})
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() {
		server.Stop()
		serving.Wait()
	})
}

func listen(t *testing.T, network, addr string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // a server may have closed it
	return l
}

func TestErrorsOfTheWireHaveKinds(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	serve(t, listen(t, "unix", path))
	conn, err := testEnv(t, "unix://"+path).Control()
	if err != nil {
		t.Fatal(err)
	}
	_, err = controlpb.NewServiceServiceClient(conn).GetService(t.Context(), &controlpb.GetServiceRequest{})
	if !errdefs.IsNotFound(err) || strings.Contains(err.Error(), "rpc error") {
		t.Errorf("error = %v, want not found in plain words", err)
	}
}

func TestDaemonThatCannotBeReached(t *testing.T) {
	dir := shortDir(t)
	stale := filepath.Join(dir, "stale")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	hung := filepath.Join(dir, "hung")
	listen(t, "unix", hung) // takes connections and never answers
	closed := listen(t, "tcp", "127.0.0.1:0")
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	identity := filepath.Join(dir, "identity")
	if err := mtlstest.New(t, "cluster").Issue("m1", mtlstest.Manager).Save(identity); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct{ host, want string }{
		"not there": {"unix://" + dir + "/nope", `is it running? start it with "systemctl start muster" or "muster daemon"`},
		"stale":     {"unix://" + stale, `is it running? start it with "systemctl start muster" or "muster daemon"`},
		"hung":      {"unix://" + hung, "no answer in 5s"},
		"refused":   {"tcp://" + closed.Addr().String(), "connection refused"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := testEnv(t, tt.host)
			env.Identity = identity
			start := time.Now()
			_, err := env.Control()
			if err == nil || !strings.HasPrefix(err.Error(), "cannot reach the muster daemon at "+tt.host) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want %q", err, tt.want)
			}
			if ExitStatus(err) != ExitFailure || time.Since(start) > dialTimeout+2*time.Second {
				t.Errorf("exit status %d after %s", ExitStatus(err), time.Since(start))
			}
		})
	}
}

func TestTCPHost(t *testing.T) {
	ca := mtlstest.New(t, "cluster")
	server := func(c *mtls.Credentials) string {
		l := listen(t, "tcp", "127.0.0.1:0")
		config := mtls.Server{
			Credentials: func() *mtls.Credentials { return c },
			Protocols:   map[string]call.Callers{"h2": call.AnyNode},
			Standing: func(string) mtls.Standing {
				return func(id string, kind call.Callers) (call.Callers, error) {
					if id == "removed" {
						return 0, call.ErrRemoved(id)
					}
					return kind, nil
				}
			},
		}.TLS()
		serve(t, l, grpc.Creds(credentials.NewTLS(config)))
		return "tcp://" + l.Addr().String()
	}
	manager, worker := server(ca.Issue("m1", mtlstest.Manager)), server(ca.Issue("w1", mtlstest.Worker))
	plain := listen(t, "tcp", "127.0.0.1:0")
	serve(t, plain, grpc.Creds(credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS13, Certificates: nil, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return &mtlstest.New(t, "other").Issue("m1", mtlstest.Manager).Certificate, nil
	}})))
	tests := map[string]struct {
		host     string
		identity *mtls.Credentials // nil: none on disk
		want     string
	}{
		"manager":             {manager, ca.Issue("w2", mtlstest.Worker), ""},
		"no identity":         {manager, nil, "asks for a node certificate, and"},
		"expired":             {manager, ca.IssueUntil("w2", mtlstest.Worker, time.Now().Add(-time.Minute)), "expired"},
		"of another cluster":  {manager, mtlstest.New(t, "other").Issue("w2", mtlstest.Worker), "cannot reach the muster daemon"},
		"removed node":        {manager, ca.Issue("removed", mtlstest.Worker), "refused this node's certificate"},
		"worker is no server": {worker, ca.Issue("w2", mtlstest.Worker), "cannot reach the muster daemon"},
		"impostor":            {"tcp://" + plain.Addr().String(), ca.Issue("w2", mtlstest.Worker), "cannot reach the muster daemon"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			env := testEnv(t, tt.host)
			env.Identity = t.TempDir()
			if tt.identity != nil {
				if err := tt.identity.Save(env.Identity); err != nil {
					t.Fatal(err)
				}
			}
			conn, err := env.Control()
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) || strings.ContainsAny(err.Error(), "\n") {
					t.Errorf("error = %v, want one line with %q", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := controlpb.NewServiceServiceClient(conn).GetService(t.Context(), &controlpb.GetServiceRequest{}); !errdefs.IsNotFound(err) {
				t.Errorf("error = %v, want an answer", err)
			}
			if _, err := env.Local(); ExitStatus(err) != ExitMisuse {
				t.Errorf("the local API of another machine: %v, want a misuse", err)
			}
		})
	}
}

// TestLongAnswer asks for more than gRPC takes by default, as the tasks of a
// large cluster are.
func TestLongAnswer(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	serve(t, listen(t, "unix", path), grpc.Creds(insecure.NewCredentials()))
	conn, err := testEnv(t, "unix://"+path).Control()
	if err != nil {
		t.Fatal(err)
	}
	r, err := controlpb.NewTaskServiceClient(conn).ListTasks(t.Context(), &controlpb.ListTasksRequest{})
	if err != nil || len(r.GetTasks()) != 1 {
		t.Errorf("%d tasks, %v", len(r.GetTasks()), err)
	}
}
