package ca_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"

	"github.com/muster/muster/dispatcher/listen"
	"github.com/muster/muster/dispatcher/mtls"
	"github.com/muster/muster/dispatcher/rpcerror"
	"github.com/muster/muster/manager/ca"
	capb "github.com/muster/muster/proto/ca/v1"
	"github.com/muster/muster/proto/call"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/jointoken"
)

const (
	worker  = clusterpb.NodeRole_NODE_ROLE_WORKER
	manager = clusterpb.NodeRole_NODE_ROLE_MANAGER
)

// state is a replicated state of one replica.
type state struct {
	mu       sync.Mutex
	cluster  ca.Cluster
	behind   bool
	nodes    map[string]clusterpb.NodeRole
	removed  map[string]bool
	register error
}

func (s *state) Cluster() (ca.Cluster, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cluster, !s.behind
}

func (s *state) NodeRole(nodeID string) (clusterpb.NodeRole, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	role, ok := s.nodes[nodeID]
	return role, ok
}

func (s *state) Removed(nodeID string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.removed[nodeID]
}

func (s *state) RegisterNode(_ context.Context, nodeID string, role clusterpb.NodeRole) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.register == nil {
		s.nodes[nodeID] = role
	}
	return s.register
}

func (s *state) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *state) token(t *testing.T, secret string) string {
	t.Helper()
	token, err := jointoken.Make(s.cluster.RootCert, secret)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// serve runs a manager's control port, and returns its state and address.
func serve(t *testing.T) (*state, string) {
	t.Helper()
	cert, key, err := ca.NewRoot("c1")
	if err != nil {
		t.Fatal(err)
	}
	s := &state{
		cluster: ca.Cluster{
			ID: "c1", RootCert: cert, RootKey: key, Expiry: 24 * time.Hour,
			WorkerSecret: jointoken.NewSecret(), ManagerSecret: jointoken.NewSecret(),
		},
		nodes:   map[string]clusterpb.NodeRole{"m1": manager},
		removed: map[string]bool{},
	}
	signer, err := ca.NewSigner("c1", cert, key)
	if err != nil {
		t.Fatal(err)
	}
	first, err := signer.Issue("m1", manager, 0)
	if err != nil {
		t.Fatal(err)
	}
	self := new(mtls.Holder)
	self.Set(first)

	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	l := listen.New(inner, mtls.Server{
		Credentials: self.Current,
		Protocols:   map[string]call.Callers{listen.ProtocolGRPC: call.Anyone},
	}.TLS(), log)
	forGRPC := l.For(listen.ProtocolGRPC)
	opts := append(rpcerror.ServerOptions(), grpc.Creds(listen.ServerCredentials()))
	opts = append(opts, mtls.Gate{}.ServerOptions()...)
	srv := grpc.NewServer(opts...)
	capb.RegisterCAServiceServer(srv, ca.NewService(s, log))

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	go func() { ended <- l.Run(ctx) }()
	go func() { ended <- srv.Serve(forGRPC) }()
	t.Cleanup(func() {
		srv.Stop()
		cancel()
		for range cap(ended) {
			if err := <-ended; err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, grpc.ErrServerStopped) {
				t.Errorf("ended: %v", err)
			}
		}
	})
	return s, inner.Addr().String()
}

func TestJoin(t *testing.T) {
	s, addr := serve(t)
	for _, tt := range []struct {
		secret string
		role   clusterpb.NodeRole
	}{{s.cluster.WorkerSecret, worker}, {s.cluster.ManagerSecret, manager}} {
		c, _, err := mtls.Join(t.Context(), addr, s.token(t, tt.secret))
		if err != nil {
			t.Fatal(err)
		}
		if c.Identity.Role != tt.role || c.Identity.ClusterID != "c1" {
			t.Errorf("joined as %+v, want role %v", c.Identity, tt.role)
		}
		if role, ok := s.NodeRole(c.Identity.NodeID); !ok || role != tt.role {
			t.Errorf("node was recorded as %v, %v", role, ok)
		}
		if left := time.Until(c.NotAfter()); (left - 24*time.Hour).Abs() > time.Minute {
			t.Errorf("certificate lasts %v, want the cluster's 24h", left)
		}
	}
}

func TestJoinRefused(t *testing.T) {
	s, addr := serve(t)
	good := s.token(t, s.cluster.WorkerSecret)
	tests := map[string]struct {
		token  string
		before func()
		is     func(error) bool
		want   string
	}{
		"wrong secret":       {s.token(t, jointoken.NewSecret()), func() {}, errdefs.IsPermissionDenied, "secret is not valid: it was rotated"},
		"state is not known": {good, func() { s.behind = true }, errdefs.IsUnavailable, "does not know the cluster's state"},
		"not recorded": {
			good, func() { s.register = errdefs.ErrFailedPrecondition.WithMessage("the cluster is full") },
			errdefs.IsFailedPrecondition, "the cluster is full",
		},
		"no leader": {
			good, func() { s.register = errdefs.ErrUnavailable.WithMessage("no leader is known") },
			errdefs.IsUnavailable, "no leader is known",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s.set(tt.before)
			defer s.set(func() { s.behind, s.register = false, nil })
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, _, err := mtls.Join(ctx, addr, tt.token)
			if err == nil || !tt.is(err) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("Join = %v, want one line with %q", err, tt.want)
			}
			if len(s.nodes) != 1 {
				t.Errorf("nodes %v were recorded", s.nodes)
			}
		})
	}
}

func TestTooManyWrongTokens(t *testing.T) {
	s, addr := serve(t)
	wrong := s.token(t, jointoken.NewSecret())
	for range 10 {
		if _, _, err := mtls.Join(t.Context(), addr, wrong); !errdefs.IsPermissionDenied(err) {
			t.Fatalf("Join = %v", err)
		}
	}
	_, _, err := mtls.Join(t.Context(), addr, wrong)
	if !errdefs.IsResourceExhausted(err) || !strings.Contains(err.Error(), "too many wrong join tokens from 127.0.0.1") {
		t.Errorf("Join = %v", err)
	}
}

// renewal asks like a node does, with its certificate and no token.
func renewal(t *testing.T, addr string, c *mtls.Credentials) (*mtls.Credentials, error) {
	t.Helper()
	h := new(mtls.Holder)
	h.Set(c)
	cc, err := grpc.NewClient(addr, append(rpcerror.DialOptions(),
		grpc.WithTransportCredentials(mtls.ClientCredentials(h.Current, mtls.AnyManager())))...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cc.Close() }()
	key, csr, err := mtls.NewRequest()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	resp, err := capb.NewCAServiceClient(cc).IssueNodeCertificate(ctx, &capb.IssueNodeCertificateRequest{CsrPem: csr})
	if err != nil {
		return nil, err
	}
	return mtls.Accept(key, resp)
}

func TestRenew(t *testing.T) {
	s, addr := serve(t)
	c, _, err := mtls.Join(t.Context(), addr, s.token(t, s.cluster.WorkerSecret))
	if err != nil {
		t.Fatal(err)
	}
	node := c.Identity.NodeID
	// The role is the state's, not the old certificate's.
	for _, role := range []clusterpb.NodeRole{worker, manager, worker} {
		s.set(func() { s.nodes[node] = role })
		next, err := renewal(t, addr, c)
		if err != nil {
			t.Fatal(err)
		}
		if want := (mtls.Identity{NodeID: node, ClusterID: "c1", Role: role}); next.Identity != want {
			t.Errorf("renewed to %+v, want %+v", next.Identity, want)
		}
		c = next
	}

	s.set(func() { s.removed[node] = true })
	if _, err := renewal(t, addr, c); !errdefs.IsPermissionDenied(err) || !strings.Contains(err.Error(), "was removed from the cluster") {
		t.Errorf("removed node renews: %v", err)
	}
	s.set(func() { delete(s.removed, node); delete(s.nodes, node) })
	if _, err := renewal(t, addr, c); !errdefs.IsPermissionDenied(err) || !strings.Contains(err.Error(), "not known to the cluster") {
		t.Errorf("unknown node renews: %v", err)
	}
}

// TestForeignCannotRenew: a node id means nothing under another root.
func TestForeignCannotRenew(t *testing.T) {
	s, addr := serve(t)
	other, key, err := ca.NewRoot("c2")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ca.NewSigner("c2", other, key)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := signer.Issue("m1", manager, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = renewal(t, addr, foreign)
	if !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), "node m1 belongs to another cluster") {
		t.Errorf("foreign node renews: %v", err)
	}
	if len(s.nodes) != 1 {
		t.Errorf("nodes %v", s.nodes)
	}
}

func TestNeitherTokenNorCertificate(t *testing.T) {
	s, _ := serve(t)
	svc := ca.NewService(s, slog.New(slog.DiscardHandler))
	_, err := svc.IssueNodeCertificate(t.Context(), &capb.IssueNodeCertificateRequest{})
	if !errdefs.IsPermissionDenied(err) || !strings.Contains(err.Error(), "a join token or a node certificate is needed") {
		t.Errorf("IssueNodeCertificate = %v", err)
	}
}

// TestNewRootIsTakenUp: the parsed root is kept only as long as it is current.
func TestNewRootIsTakenUp(t *testing.T) {
	s, addr := serve(t)
	c, _, err := mtls.Join(t.Context(), addr, s.token(t, s.cluster.WorkerSecret))
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := ca.NewRoot("c1")
	if err != nil {
		t.Fatal(err)
	}
	s.set(func() { s.cluster.RootCert, s.cluster.RootKey = cert, key })
	next, err := renewal(t, addr, c)
	if err != nil {
		t.Fatal(err)
	}
	if string(next.RootPEM) != string(cert) {
		t.Error("renewed by the old root")
	}
}
