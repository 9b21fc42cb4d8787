package mtls

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	_ "github.com/muster/muster/proto/ca/v1" // the methods below, and their rules
	"github.com/muster/muster/proto/call"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	_ "github.com/muster/muster/proto/control/v1"
	_ "github.com/muster/muster/proto/dispatch/v1"
	_ "github.com/muster/muster/proto/member/v1"
)

const (
	worker  = clusterpb.NodeRole_NODE_ROLE_WORKER
	manager = clusterpb.NodeRole_NODE_ROLE_MANAGER

	getRootCA  = "/ca.v1.CAService/GetRootCA"
	listNodes  = "/control.v1.NodeService/ListNodes"
	session    = "/dispatch.v1.DispatcherService/Session"
	drain      = "/member.v1.MemberService/Drain"
	addManager = "/member.v1.MemberService/AddManager"
	loadImage  = "/control.v1.ImageService/LoadImage"
)

func gate() Gate {
	return Gate{Standing: func(id string, kind call.Callers) (call.Callers, error) {
		switch {
		case id == "gone":
			return 0, call.ErrRemoved(id)
		case id == "demoted" && kind == call.Manager:
			return call.Worker, nil
		}
		return kind, nil
	}}
}

func TestGate(t *testing.T) {
	now := time.Now()
	nobody := withInfo(t, credentials.TLSInfo{})
	local := withInfo(t, LocalInfo{})

	tests := map[string]struct {
		caller context.Context
		method string
		want   string // "" when allowed
	}{
		"anyone: anonymous":      {nobody, getRootCA, ""},
		"anyone: local":          {local, getRootCA, ""},
		"anyone: worker":         {node(t, "w1", worker, now), getRootCA, ""},
		"users: local":           {local, listNodes, ""},
		"users: manager":         {node(t, "m1", manager, now), listNodes, ""},
		"users: worker":          {node(t, "w1", worker, now), listNodes, "is for managers and the local socket, not for worker w1"},
		"users: anonymous":       {nobody, listNodes, "not for a caller without a certificate"},
		"nodes: worker":          {node(t, "w1", worker, now), session, ""},
		"nodes: local":           {local, session, "is for workers and managers, not for a caller on the local socket"},
		"managers: worker":       {node(t, "w1", worker, now), addManager, "is for managers, not for worker w1"},
		"managers: manager":      {node(t, "m1", manager, now), addManager, ""},
		"root: local":            {local, loadImage, ""},
		"root: manager":          {node(t, "m1", manager, now), loadImage, "is for the local socket, not for manager m1"},
		"no rule":                {node(t, "m1", manager, now), "/ca.v1.CAService/Other", "is for nobody"},
		"no such service":        {local, "/x", "is for nobody"},
		"no name":                {local, "", "is for nobody"},
		"a service":              {local, "/ca.v1.CAService", "is for nobody"},
		"demoted":                {node(t, "demoted", manager, now), listNodes, "not for worker demoted"},
		"demoted, as a worker":   {node(t, "demoted", manager, now), session, ""},
		"removed":                {node(t, "gone", worker, now), getRootCA, "node gone was removed"},
		"expired while open":     {node(t, "w1", worker, now.Add(-48*time.Hour)), getRootCA, "w1 expired on"},
		"a foreign certificate":  {withCertificate(t, &x509.Certificate{}), getRootCA, "is not a muster node's"},
		"no connection is known": {t.Context(), listNodes, "not for a caller without a certificate"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := gate().enter(tt.caller, tt.method, now)
			refused(t, err, tt.want)
		})
	}
}

func refused(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("refused: %v", err)
	case want != "" && (!errdefs.IsPermissionDenied(err) && !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), want)):
		t.Errorf("got %v, want it refused with %q", err, want)
	}
}

// TestHandlersLearnWhoCalls in either kind of call.
func TestHandlersLearnWhoCalls(t *testing.T) {
	made := time.Now().Truncate(time.Second)
	w1 := principal("w1", call.Worker, made)
	tests := map[string]struct {
		ctx  context.Context
		want call.Principal
	}{
		"worker":    {node(t, "w1", worker, made), w1},
		"local":     {withInfo(t, LocalInfo{}), call.Principal{Kind: call.Local}},
		"anonymous": {withInfo(t, credentials.TLSInfo{}), call.Principal{Kind: call.Anonymous}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			ctx, err := gate().enter(tt.ctx, getRootCA, made)
			if err != nil || call.From(ctx) != tt.want {
				t.Errorf("the caller is %+v, %v; want %+v", call.From(ctx), err, tt.want)
			}
			s := enteredStream{ctx: ctx}
			if call.From(grpc.ServerStream(s).Context()) != tt.want {
				t.Error("streams do not tell")
			}
		})
	}
}

// TestHandedOn is what becomes of calls whose metadata names another caller.
func TestHandedOn(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Second)
	later := now.Add(time.Hour)
	claim := func(p call.Principal) []string {
		ctx, err := call.Forward(call.NewContext(t.Context(), p))
		if err != nil {
			t.Fatal(err)
		}
		md, _ := metadata.FromOutgoingContext(ctx)
		return md.Get(principalKey)
	}
	root := call.Principal{Kind: call.Local, NodeID: "m2", ClusterID: "c1"}
	w2 := call.Principal{Kind: call.Worker, NodeID: "w2", ClusterID: "c1", Expires: later}
	expired, gone, foreign := w2, w2, w2
	expired.Expires, gone.NodeID, foreign.ClusterID = now.Add(-time.Minute), "gone", "c2"
	goneRoot := root
	goneRoot.NodeID = "gone"
	m1, w1 := node(t, "m1", manager, now), node(t, "w1", worker, now)

	tests := map[string]struct {
		peer   context.Context
		method string
		claims []string
		want   call.Principal // who the handler sees, when not refused
		refuse string
	}{
		"a manager for its root":          {m1, listNodes, claim(root), root, ""},
		"a manager for a worker":          {m1, drain, claim(w2), w2, ""},
		"a manager for a joining node":    {m1, getRootCA, claim(call.Principal{Kind: call.Anonymous}), call.Principal{Kind: call.Anonymous}, ""},
		"for who may not":                 {m1, listNodes, claim(w2), call.Principal{}, "is for managers and the local socket, not for worker w2"},
		"for who may not, though it may":  {m1, addManager, claim(w2), call.Principal{}, "is for managers, not for worker w2"},
		"for who was removed":             {m1, drain, claim(gone), call.Principal{}, "node gone was removed"},
		"for the root of a removed node":  {m1, listNodes, claim(goneRoot), call.Principal{}, "node gone was removed"},
		"for who has expired":             {m1, drain, claim(expired), call.Principal{}, "w2 expired on"},
		"for who is of another cluster":   {m1, drain, claim(foreign), call.Principal{}, "belongs to another cluster"},
		"for two":                         {m1, drain, append(claim(w2), claim(root)...), call.Principal{}, "names 2 principals"},
		"for nonsense":                    {m1, drain, []string{"\xff\xff"}, call.Principal{}, "handed on by manager m1: principal"},
		"for nobody":                      {m1, drain, []string{""}, call.Principal{}, "names no one"},
		"for too long a name":             {m1, drain, []string{strings.Repeat("x", 1<<20)}, call.Principal{}, "at most 1024 are allowed"},
		"what the node itself answers":    {m1, session, claim(w2), principal("m1", call.Manager, now), ""},
		"a worker claims to be root":      {w1, listNodes, claim(root), call.Principal{}, "not for worker w1"},
		"a worker claims another's name":  {w1, drain, claim(w2), principal("w1", call.Worker, now), ""},
		"a worker claims it twice":        {w1, drain, append(claim(w2), claim(w2)...), principal("w1", call.Worker, now), ""},
		"root claims another's name":      {withInfo(t, LocalInfo{}), listNodes, claim(w2), call.Principal{Kind: call.Local}, ""},
		"nobody claims to be a manager":   {withInfo(t, credentials.TLSInfo{}), listNodes, claim(root), call.Principal{}, "not for a caller without a certificate"},
		"a removed manager hands on":      {node(t, "gone", manager, now), listNodes, claim(root), call.Principal{}, "node gone was removed"},
		"an expired manager hands on":     {node(t, "m1", manager, now.Add(-48*time.Hour)), listNodes, claim(root), call.Principal{}, "m1 expired on"},
		"a method that there is not":      {m1, "/control.v1.NodeService/Other", claim(root), call.Principal{}, "is for nobody"},
		"a manager hands on its own call": {m1, listNodes, claim(principal("m1", call.Manager, now)), principal("m1", call.Manager, now), ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			ctx := metadata.NewIncomingContext(tt.peer, metadata.MD{principalKey: tt.claims, "other": {"kept"}})
			ctx, err := gate().enter(ctx, tt.method, now)
			refused(t, err, tt.refuse)
			if err != nil {
				return
			}
			if got := call.From(ctx); got != tt.want {
				t.Errorf("the caller is %+v, want %+v", got, tt.want)
			}
			believed, _ := call.Forwarded(ctx)
			if call.IsForwarded(ctx) && believed != tt.want {
				t.Errorf("the claim of %+v is left for others to believe", believed)
			}
			if md, _ := metadata.FromIncomingContext(ctx); len(md.Get("other")) != 1 {
				t.Error("other metadata is lost")
			}
		})
	}
}

// principalKey is written out: a peer of another make would use it too.
const principalKey = "muster-principal-bin"

func principal(id string, kind call.Callers, made time.Time) call.Principal {
	return call.Principal{Kind: kind, NodeID: id, ClusterID: "c1", Expires: made.Add(24 * time.Hour).UTC()}
}

func node(t *testing.T, id string, role clusterpb.NodeRole, made time.Time) context.Context {
	t.Helper()
	return withCertificate(t, &x509.Certificate{
		Subject:   Identity{NodeID: id, ClusterID: "c1", Role: role}.Subject(),
		NotBefore: made.Add(-time.Hour),
		NotAfter:  made.Add(24 * time.Hour).UTC(),
	})
}

func withCertificate(t *testing.T, cert *x509.Certificate) context.Context {
	t.Helper()
	return withInfo(t, credentials.TLSInfo{State: tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}}})
}

func withInfo(t *testing.T, info credentials.AuthInfo) context.Context {
	t.Helper()
	return peer.NewContext(t.Context(), &peer.Peer{AuthInfo: info})
}
