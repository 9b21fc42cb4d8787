package mtls

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/muster/muster/internal/text"
	"github.com/muster/muster/proto/call"
)

// Standing tells what a node is in its cluster by now, which has the last word:
// a certificate says what it was when that was issued. kind is what the node
// calls as, the result what it may call as. The error, PermissionDenied, is why
// it is no node of the cluster.
type Standing func(nodeID string, kind call.Callers) (call.Callers, error)

// Gate finds out who makes a call, and lets it through if the method's own rule
// allows that caller (package call). Nobody may call a method without a rule.
// What is asked for has to be whole (call.CheckRequired), and text that can be
// stored and shown (package text).
// Handlers learn who calls from [call.From].
type Gate struct {
	// Peer returns who is at the other end of the connection; [PeerPrincipal]
	// when nil.
	Peer func(ctx context.Context) (call.Principal, error)
	// Standing tells what nodes are by now; nil where nobody knows.
	Standing Standing
}

// ServerOptions make a server ask the gate before every call.
func (g Gate) ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			ctx, err := g.enter(ctx, info.FullMethod, time.Now())
			if err != nil {
				return nil, err
			}
			if m, ok := req.(proto.Message); ok {
				if err := checkRequest(m); err != nil {
					return nil, err
				}
				ctx = call.NewContent(ctx, m)
			}
			return handler(ctx, req)
		}),
		grpc.ChainStreamInterceptor(func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			ctx, err := g.enter(ss.Context(), info.FullMethod, time.Now())
			if err != nil {
				return err
			}
			return handler(srv, enteredStream{ss, ctx, !info.IsClientStream})
		}),
	}
}

// enter returns the context of a call that may be made, or why it may not.
func (g Gate) enter(ctx context.Context, method string, now time.Time) (context.Context, error) {
	peer, err := g.peer(ctx)
	if err != nil {
		return nil, err
	}
	if peer, err = g.standing(peer, now); err != nil {
		return nil, err
	}
	rule, _ := call.Lookup(method)
	// A manager hands on only what it does not answer itself, which is what the
	// leader answers. Only there, and only a manager, is believed about who
	// calls: for all other calls the certificate says it.
	if peer.Kind == call.Manager && rule.Leader && call.IsForwarded(ctx) {
		return g.enterForwarded(ctx, peer, method, rule, now)
	}
	if err := permit(rule, method, peer); err != nil {
		return nil, err
	}
	return call.NewContext(call.Strip(ctx), peer), nil
}

// enterForwarded is enter for a call that a manager hands on.
func (g Gate) enterForwarded(ctx context.Context, by call.Principal, method string, rule call.Rule, now time.Time) (context.Context, error) {
	caller, err := call.Forwarded(ctx)
	if err != nil {
		return nil, fmt.Errorf("handed on by %s: %w", by, err)
	}
	if caller.Kind != call.Anonymous && caller.ClusterID != by.ClusterID {
		return nil, errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf(
			"%s, handed on by %s, belongs to another cluster (%s, this is %s)", caller, by, caller.ClusterID, by.ClusterID))
	}
	if caller, err = g.standing(caller, now); err != nil {
		return nil, err
	}
	if err := permit(rule, method, caller); err != nil {
		return nil, err
	}
	return call.NewContext(ctx, caller), nil
}

func (g Gate) peer(ctx context.Context) (call.Principal, error) {
	if g.Peer == nil {
		return PeerPrincipal(ctx)
	}
	return g.Peer(ctx)
}

// standing returns the caller as what it is by now, and refuses a node that is
// no longer one.
func (g Gate) standing(p call.Principal, now time.Time) (call.Principal, error) {
	if err := p.Check(now); err != nil {
		return p, err
	}
	if p.NodeID == "" || g.Standing == nil {
		return p, nil
	}
	var err error
	p.Kind, err = g.Standing(p.NodeID, p.Kind)
	return p, err
}

// permit refuses a caller that may not call a method.
func permit(rule call.Rule, method string, p call.Principal) error {
	if rule.Callers&p.Kind == 0 {
		return errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("%s is for %s, not for %s", method, rule.Callers, p))
	}
	return nil
}

// enteredStream is a stream whose handler learns who calls.
type enteredStream struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // this is how gRPC lets a stream's context be replaced
	// asks: what the client sends is a request, which is refused or not. What
	// nodes say in long streams is for those who read it to clean.
	asks bool
}

// RecvMsg implements grpc.ServerStream.
func (s enteredStream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	if asked, ok := m.(proto.Message); ok && s.asks {
		return checkRequest(asked)
	}
	return nil
}

// checkRequest refuses a request that lacks what it needs, or holds what cannot
// be stored and shown.
func checkRequest(m proto.Message) error {
	if err := text.Check(m); err != nil {
		return err
	}
	return call.CheckRequired(m)
}

// Context implements grpc.ServerStream.
func (s enteredStream) Context() context.Context { return s.ctx }
