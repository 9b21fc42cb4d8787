package call

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	callpb "github.com/muster/muster/proto/call/v1"
)

func TestPrincipalTravelsWhole(t *testing.T) {
	expires := time.Date(2027, 1, 2, 3, 4, 5, 6, time.UTC)
	for _, p := range []Principal{
		{Kind: Anonymous},
		{Kind: Anonymous, Addr: "192.0.2.1:5"},
		{Kind: Local, NodeID: "n1", ClusterID: "c"},
		{Kind: Worker, NodeID: "n1", ClusterID: "c", Addr: "[2001:db8::1]:5", Expires: expires},
		{Kind: Manager, NodeID: "n1", ClusterID: "c", Expires: expires},
	} {
		ctx, err := Forward(NewContext(t.Context(), p))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Forwarded(arrived(ctx)); err != nil || got != p {
			t.Errorf("%+v arrived as %+v, %v", p, got, err)
		}
	}
}

// arrived is the context of a call that was sent with ctx.
func arrived(ctx context.Context) context.Context {
	md, _ := metadata.FromOutgoingContext(ctx)
	return metadata.NewIncomingContext(ctx, md)
}

func TestDecodeRefuses(t *testing.T) {
	soon := timestamppb.Now()
	for name, m := range map[string]*callpb.Principal{
		"nothing":                   {},
		"no kind":                   {NodeId: "n", ClusterId: "c", Expires: soon},
		"a kind of later":           {Kind: 99, NodeId: "n", ClusterId: "c", Expires: soon},
		"root of no node":           {Kind: callpb.Caller_CALLER_LOCAL},
		"a node without an id":      {Kind: callpb.Caller_CALLER_WORKER, ClusterId: "c", Expires: soon},
		"a node without a cluster":  {Kind: callpb.Caller_CALLER_WORKER, NodeId: "n", Expires: soon},
		"a node that never expires": {Kind: callpb.Caller_CALLER_MANAGER, NodeId: "n", ClusterId: "c"},
		"too long":                  {Kind: callpb.Caller_CALLER_ANONYMOUS, Addr: strings.Repeat("x", 1025)},
	} {
		data, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if p, err := decode(string(data)); !errdefs.IsInvalidArgument(err) || p != (Principal{}) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}

// TestForwardReplacesClaims: whatever the caller's metadata says, the principal
// that goes out is the one the server found.
func TestForwardReplacesClaims(t *testing.T) {
	root := Principal{Kind: Local, NodeID: "m1", ClusterID: "c"}
	claim, err := root.encode()
	if err != nil {
		t.Fatal(err)
	}
	w1 := Principal{Kind: Worker, NodeID: "w1", ClusterID: "c", Expires: time.Unix(1, 0).UTC()}
	in := metadata.NewIncomingContext(t.Context(), metadata.MD{principalKey: {claim, claim}, RequestIDKey: {"r1"}})
	out, err := Forward(NewContext(in, w1))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Forwarded(arrived(out)); err != nil || got != w1 {
		t.Errorf("%+v goes out, %v", got, err)
	}
	if RequestID(arrived(out)) != "r1" {
		t.Error("the request id is lost")
	}
	if !IsForwarded(in) || IsForwarded(Strip(in)) || RequestID(Strip(in)) != "r1" {
		t.Error("strip takes the claims and nothing else")
	}
	if _, err := Forwarded(in); !errdefs.IsInvalidArgument(err) {
		t.Errorf("two principals: %v", err)
	}
	if ctx := t.Context(); Strip(ctx) != ctx || IsForwarded(ctx) {
		t.Error("a call without metadata was handed on")
	}
}

// TestNobodyFoundOut: a handler that no gate stands before serves an unknown.
func TestNobodyFoundOut(t *testing.T) {
	if p := From(t.Context()); p != (Principal{Kind: Anonymous}) {
		t.Errorf("the caller is %+v", p)
	}
	for p, want := range map[Principal]string{
		{Kind: Worker, NodeID: "w1"}:  "w1",
		{Kind: Manager, NodeID: "m1"}: "m1",
		{Kind: Local, NodeID: "m1"}:   "", // root of a node is not the node
		{Kind: Anonymous}:             "",
	} {
		got, err := Node(NewContext(t.Context(), p))
		if got != want || (want == "") != errdefs.IsPermissionDenied(err) {
			t.Errorf("%s is node %q, %v; want %q", p, got, err, want)
		}
	}
}

func TestCheckExpiry(t *testing.T) {
	end := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	p := Principal{Kind: Worker, NodeID: "w1", Expires: end}
	if err := p.Check(end); err != nil {
		t.Errorf("at the end: %v", err)
	}
	err := p.Check(end.Add(1))
	if !errdefs.IsPermissionDenied(err) || err.Error() != "certificate of node w1 expired on 2027-01-02T03:04:05Z; rejoin with a new token" {
		t.Errorf("after the end: %v", err)
	}
	if err := (Principal{Kind: Local}).Check(end); err != nil {
		t.Errorf("without a certificate: %v", err)
	}
}

func TestRequestID(t *testing.T) {
	given := func(ids ...string) context.Context {
		return metadata.NewIncomingContext(t.Context(), metadata.MD{RequestIDKey: ids})
	}
	for name, tt := range map[string]struct {
		ctx  context.Context
		want string // "" is a new one
	}{
		"given":    {given("r1"), "r1"},
		"longest":  {given(strings.Repeat("x", 128)), strings.Repeat("x", 128)},
		"too long": {given(strings.Repeat("x", 129)), ""},
		"empty":    {given(""), ""},
		"no text":  {given("r1\xff"), ""},
		"none":     {t.Context(), ""},
		"two":      {given("r1", "r2"), "r1"},
		"sent":     {arrived(WithRequestID(t.Context(), "r3")), "r3"},
	} {
		got := RequestID(tt.ctx)
		if tt.want != "" && got != tt.want || tt.want == "" && (got == RequestID(tt.ctx) || len(got) > 128) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}
