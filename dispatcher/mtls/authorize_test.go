package mtls

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

func TestAuthorize(t *testing.T) {
	a := Authorizer{
		Methods: map[string]Access{
			"/ca.v1.CAService/GetRootCA":     Anyone,
			"/control.v1.ControlService/":    Manager | Local,
			"/dispatch.v1.DispatchService/":  AnyNode,
			"/control.v1.ControlService/Old": 0,
		},
		Removed: func(id string) bool { return id == "gone" },
	}
	now := time.Now()
	worker, manager := clusterpb.NodeRole_NODE_ROLE_WORKER, clusterpb.NodeRole_NODE_ROLE_MANAGER
	nobody := withInfo(t, credentials.TLSInfo{})
	local := withInfo(t, LocalInfo{})

	tests := map[string]struct {
		caller context.Context
		method string
		want   string // "" when allowed
	}{
		"anyone: anonymous":      {nobody, "/ca.v1.CAService/GetRootCA", ""},
		"anyone: local":          {local, "/ca.v1.CAService/GetRootCA", ""},
		"anyone: worker":         {node(t, "w1", worker, now), "/ca.v1.CAService/GetRootCA", ""},
		"service: local":         {local, "/control.v1.ControlService/ListNodes", ""},
		"service: manager":       {node(t, "m1", manager, now), "/control.v1.ControlService/ListNodes", ""},
		"service: worker":        {node(t, "w1", worker, now), "/control.v1.ControlService/ListNodes", "is for managers and the local socket, not for worker w1"},
		"service: anonymous":     {nobody, "/control.v1.ControlService/ListNodes", "not for a caller without a certificate"},
		"nodes: worker":          {node(t, "w1", worker, now), "/dispatch.v1.DispatchService/Session", ""},
		"nodes: local":           {local, "/dispatch.v1.DispatchService/Session", "is for workers and managers, not for a caller on the local socket"},
		"not in the table":       {node(t, "m1", manager, now), "/ca.v1.CAService/Other", "is for nobody"},
		"no such service":        {local, "/x", "is for nobody"},
		"method beats service":   {local, "/control.v1.ControlService/Old", "is for nobody"},
		"removed":                {node(t, "gone", worker, now), "/ca.v1.CAService/GetRootCA", "node gone was removed"},
		"expired while open":     {node(t, "w1", worker, now.Add(-48*time.Hour)), "/ca.v1.CAService/GetRootCA", "w1 expired on"},
		"no connection is known": {t.Context(), "/control.v1.ControlService/ListNodes", "not for a caller without a certificate"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := a.check(tt.caller, tt.method, now)
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.want != "" && (!errdefs.IsPermissionDenied(err) || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want permission denied with %q", err, tt.want)
			}
		})
	}
}

func TestPeerIdentity(t *testing.T) {
	ctx := node(t, "w1", clusterpb.NodeRole_NODE_ROLE_WORKER, time.Now())
	if id, ok := PeerIdentity(ctx); !ok || id.NodeID != "w1" || IsLocal(ctx) {
		t.Errorf("node: %+v, %v, local %v", id, ok, IsLocal(ctx))
	}
	for name, ctx := range map[string]context.Context{
		"anonymous": withInfo(t, credentials.TLSInfo{}),
		"local":     withInfo(t, LocalInfo{}),
		"none":      t.Context(),
	} {
		if id, ok := PeerIdentity(ctx); ok {
			t.Errorf("%s caller is %+v", name, id)
		}
	}
	if !IsLocal(withInfo(t, LocalInfo{})) {
		t.Error("the local caller is not local")
	}
}

func node(t *testing.T, id string, role clusterpb.NodeRole, made time.Time) context.Context {
	t.Helper()
	cert := &x509.Certificate{
		Subject:   Identity{NodeID: id, ClusterID: "c1", Role: role}.Subject(),
		NotBefore: made.Add(-time.Hour),
		NotAfter:  made.Add(24 * time.Hour),
	}
	return withInfo(t, credentials.TLSInfo{State: tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}}})
}

func withInfo(t *testing.T, info credentials.AuthInfo) context.Context {
	t.Helper()
	return peer.NewContext(t.Context(), &peer.Peer{AuthInfo: info})
}
