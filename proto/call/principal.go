package call

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	callpb "github.com/muster/muster/proto/call/v1"
)

// Principal is who makes a call, as the server that it came in on verified.
type Principal struct {
	// Kind is exactly one of the kinds of callers.
	Kind Callers
	// NodeID is the node of a Worker or Manager, and the one whose socket a
	// Local caller used: empty there while the node is in no cluster.
	NodeID    string
	ClusterID string
	// Addr is the address the call came from; empty when it is not known.
	Addr string
	// Expires is when a node's certificate ceases to be valid; zero for others.
	Expires time.Time
}

// maxPrincipal bounds the encoding of a principal, in bytes.
const maxPrincipal = 1 << 10

// String names the principal, such as "worker w1".
func (p Principal) String() string {
	switch p.Kind {
	case Worker:
		return "worker " + p.NodeID
	case Manager:
		return "manager " + p.NodeID
	case Local:
		return "a caller on the local socket"
	default:
		return "a caller without a certificate"
	}
}

// ErrRemoved is the refusal of a node that was removed from the cluster.
func ErrRemoved(nodeID string) error {
	return errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf(
		"node %s was removed from the cluster; rejoin with a new token", nodeID))
}

// ErrUnknown is the refusal of a node with a certificate of the cluster that
// the cluster does not know.
func ErrUnknown(nodeID string) error {
	return errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf(
		"node %s is not part of the cluster; rejoin with a new token", nodeID))
}

// Check refuses a node whose certificate is no longer valid at now: connections
// outlive the moment at which it was verified.
func (p Principal) Check(now time.Time) error {
	if p.Expires.IsZero() || !now.After(p.Expires) {
		return nil
	}
	return errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf(
		"certificate of node %s expired on %s; rejoin with a new token", p.NodeID, p.Expires.UTC().Format(time.RFC3339)))
}

// encode is how a principal travels with a call that is handed on.
func (p Principal) encode() (string, error) {
	m := &callpb.Principal{Kind: wordOf(p.Kind), NodeId: p.NodeID, ClusterId: p.ClusterID, Addr: p.Addr}
	if !p.Expires.IsZero() {
		m.Expires = timestamppb.New(p.Expires)
	}
	data, err := proto.Marshal(m)
	if err != nil {
		return "", fmt.Errorf("encode principal %s: %w", p, err)
	}
	return string(data), nil
}

// decode reads what encode made. It refuses, as InvalidArgument, what names no
// one: an unknown kind, a caller of no node, or a node without the end of its
// certificate.
func decode(data string) (Principal, error) {
	if len(data) > maxPrincipal {
		return Principal{}, fmt.Errorf("principal of %d bytes: at most %d are allowed: %w", len(data), maxPrincipal, errdefs.ErrInvalidArgument)
	}
	var m callpb.Principal
	if err := proto.Unmarshal([]byte(data), &m); err != nil {
		return Principal{}, fmt.Errorf("principal: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	p := Principal{Kind: setOf(m.GetKind()), NodeID: m.GetNodeId(), ClusterID: m.GetClusterId(), Addr: m.GetAddr()}
	if m.GetExpires() != nil {
		p.Expires = m.GetExpires().AsTime()
	}
	nowhere := p.NodeID == "" || p.ClusterID == ""
	if p.Kind == 0 || p.Kind != Anonymous && nowhere || p.Kind&AnyNode != 0 && p.Expires.IsZero() {
		return Principal{}, fmt.Errorf("principal %v names no one: %w", &m, errdefs.ErrInvalidArgument)
	}
	return p, nil
}

type contextKey struct{}

// NewContext returns a context in which p makes the call.
func NewContext(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, contextKey{}, p)
}

// From returns who makes the call that a handler serves; an anonymous caller
// when no server has found out.
func From(ctx context.Context) Principal {
	if p, ok := ctx.Value(contextKey{}).(Principal); ok {
		return p
	}
	return Principal{Kind: Anonymous}
}

// Node returns the id of the node that makes the call which a handler serves;
// PermissionDenied when its caller is not one.
func Node(ctx context.Context) (nodeID string, err error) {
	p := From(ctx)
	if p.Kind&AnyNode == 0 {
		return "", fmt.Errorf("a node certificate is needed: %w", errdefs.ErrPermissionDenied)
	}
	return p.NodeID, nil
}
