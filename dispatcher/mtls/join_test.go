package mtls_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/muster/muster/dispatcher/mtls"
	"github.com/muster/muster/dispatcher/mtls/mtlstest"
	"github.com/muster/muster/dispatcher/rpcerror"
	capb "github.com/muster/muster/proto/ca/v1"
	"github.com/muster/muster/proto/call"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/jointoken"
)

// manager is the least that a node can join: it knows one secret.
type manager struct {
	capb.UnimplementedCAServiceServer
	ca         *mtlstest.CA
	secret     string
	leaderless atomic.Int32 // answers Unavailable so often
	shown      atomic.Int32 // how often a secret was shown to it
}

func (m *manager) GetRootCA(context.Context, *capb.GetRootCARequest) (*capb.GetRootCAResponse, error) {
	return &capb.GetRootCAResponse{RootPem: m.ca.RootPEM}, nil
}

func (m *manager) IssueNodeCertificate(_ context.Context, req *capb.IssueNodeCertificateRequest) (*capb.IssueNodeCertificateResponse, error) {
	m.shown.Add(1)
	if m.leaderless.Add(-1) >= 0 {
		return nil, errdefs.ErrUnavailable.WithMessage("no leader is known")
	}
	if req.GetToken() != m.secret {
		return nil, errdefs.ErrPermissionDenied.WithMessage("wrong secret")
	}
	block, _ := pem.Decode(req.GetCsrPem())
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, err
	}
	return &capb.IssueNodeCertificateResponse{
		CertificatePem: m.ca.Sign(csr.PublicKey, "n1", mtlstest.Worker, time.Now().Add(time.Hour)),
		RootPem:        m.ca.RootPEM, NodeId: "n1", ClusterId: m.ca.ClusterID, Role: mtlstest.Worker,
	}, nil
}

// serve runs m as the node of the certificate, and returns its address.
func (m *manager) serve(t *testing.T, certificate *mtls.Credentials) string {
	t.Helper()
	return serveGRPC(t, certificate, func(s *grpc.Server) { capb.RegisterCAServiceServer(s, m) }).String()
}

func serveGRPC(t *testing.T, certificate *mtls.Credentials, register func(*grpc.Server)) net.Addr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	config := mtls.Server{
		Credentials: mtlstest.Holding(certificate).Current,
		Protocols:   map[string]call.Callers{"h2": call.Anyone},
	}.TLS()
	srv := grpc.NewServer(append(rpcerror.ServerOptions(), grpc.Creds(credentials.NewTLS(config)))...)
	register(srv)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	t.Cleanup(func() {
		srv.Stop()
		if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Errorf("serve: %v", err)
		}
	})
	return l.Addr()
}

func token(t *testing.T, ca *mtlstest.CA, secret string) string {
	t.Helper()
	s, err := jointoken.Make(ca.RootPEM, secret)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestJoin(t *testing.T) {
	ca := mtlstest.New(t, "c1")
	m := &manager{ca: ca, secret: jointoken.NewSecret()}
	m.leaderless.Store(2) // an election is going on
	addr := m.serve(t, ca.Issue("m1", mtlstest.Manager))
	got, _, err := mtls.Join(t.Context(), addr, token(t, ca, m.secret))
	if err != nil {
		t.Fatal(err)
	}
	want := mtls.Identity{NodeID: "n1", ClusterID: "c1", Role: clusterpb.NodeRole_NODE_ROLE_WORKER}
	if got.Identity != want {
		t.Errorf("joined as %+v, want %+v", got.Identity, want)
	}
	if err := got.Save(t.TempDir()); err != nil {
		t.Error(err)
	}
}

func TestJoinExplains(t *testing.T) {
	ca, other, impostor := mtlstest.New(t, "c1"), mtlstest.New(t, "c2"), mtlstest.New(t, "c1")
	secret := jointoken.NewSecret()
	m := &manager{ca: ca, secret: secret}
	addr := m.serve(t, ca.Issue("m1", mtlstest.Manager))
	// An eavesdropper gives the right root, and lacks its key.
	trap := &manager{ca: ca, secret: secret}
	trapAddr := trap.serve(t, impostor.Issue("m1", mtlstest.Manager))
	// A worker is no one to show a secret to either.
	worker := &manager{ca: ca, secret: secret}
	workerAddr := worker.serve(t, ca.Issue("w1", mtlstest.Worker))
	good := token(t, ca, secret)
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	secureWeb := httptest.NewUnstartedServer(http.NotFoundHandler())
	secureWeb.Config.ErrorLog = log.New(io.Discard, "", 0)
	secureWeb.StartTLS()
	defer secureWeb.Close()
	noCA := serveGRPC(t, ca.Issue("w2", mtlstest.Worker), func(*grpc.Server) {})

	tests := map[string]struct {
		addr, token string
		is          func(error) bool
		want        string
	}{
		"truncated token":   {addr, good[:20], errdefs.IsInvalidArgument, "truncated"},
		"other cluster":     {addr, token(t, other, secret), errdefs.IsPermissionDenied, "this join token belongs to another cluster than the manager at " + addr},
		"wrong secret":      {addr, token(t, ca, jointoken.NewSecret()), errdefs.IsPermissionDenied, "wrong secret"},
		"dead address":      {dead(t), good, errdefs.IsUnavailable, "connection refused; check the address"},
		"no address":        {"", good, errdefs.IsInvalidArgument, `"" is not HOST or HOST:PORT`},
		"malformed":         {"10.0.0.1:2377:1", good, errdefs.IsInvalidArgument, `"10.0.0.1:2377:1" is not HOST or HOST:PORT`},
		"plain web server":  {strings.TrimPrefix(web.URL, "http://"), good, errdefs.IsUnavailable, "what answers there is not a muster node"},
		"secure web server": {strings.TrimPrefix(secureWeb.URL, "https://"), good, errdefs.IsUnavailable, "what answers there is not a muster node"},
		"not a manager":     {noCA.String(), good, errdefs.IsUnavailable, "what answers there is not a manager; check"},
		"default port":      {"127.0.0.77", good, errdefs.IsUnavailable, "127.0.0.77:2377"},
		"impostor":          {trapAddr, good, errdefs.IsPermissionDenied, "certificate of node m1 is not one of cluster c1"},
		"worker's address":  {workerAddr, good, errdefs.IsPermissionDenied, "node w1 is a worker, a manager is needed"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			_, _, err := mtls.Join(ctx, tt.addr, tt.token)
			if err == nil || !tt.is(err) {
				t.Fatalf("Join = %v, of another kind than wanted", err)
			}
			if msg := err.Error(); !strings.Contains(msg, tt.want) || strings.ContainsAny(msg, "\n") || strings.Contains(msg, "rpc error") {
				t.Errorf("Join says %q, want one plain line with %q", msg, tt.want)
			}
		})
	}
	if n := trap.shown.Load() + worker.shown.Load(); n != 0 {
		t.Errorf("the secret was shown %d times to those who must not see it", n)
	}
}

// TestJoinIsBounded connects to something that never answers.
func TestJoinIsBounded(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	ca := mtlstest.New(t, "c1")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, _, err = mtls.Join(ctx, l.Addr().String(), token(t, ca, jointoken.NewSecret()))
	if !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), "no answer") {
		t.Errorf("Join = %v", err)
	}
}

// dead returns an address nobody listens on.
func dead(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
