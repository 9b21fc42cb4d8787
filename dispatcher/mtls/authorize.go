package mtls

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
)

// Authorizer decides who may call what. What is not named is refused.
type Authorizer struct {
	// Methods maps a full method ("/ca.v1.CAService/GetRootCA") or a whole
	// service ("/ca.v1.CAService/") to its callers; the method wins.
	Methods map[string]Access
	// Removed reports whether a node was put out of the cluster; its open
	// connections may then call nothing. May be nil.
	Removed func(nodeID string) bool
}

// ServerOptions make a server ask the authorizer before every call.
func (a Authorizer) ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			if err := a.check(ctx, info.FullMethod, time.Now()); err != nil {
				return nil, err
			}
			return handler(ctx, req)
		}),
		grpc.ChainStreamInterceptor(func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			if err := a.check(ss.Context(), info.FullMethod, time.Now()); err != nil {
				return err
			}
			return handler(srv, ss)
		}),
	}
}

// check returns why the caller may not call the method, or nil.
func (a Authorizer) check(ctx context.Context, method string, now time.Time) error {
	have, who := Anonymous, "a caller without a certificate"
	if IsLocal(ctx) {
		have, who = Local, "a caller on the local socket"
	} else if cert := peerCertificate(ctx); cert != nil {
		id, err := FromCertificate(cert)
		if err != nil {
			return err
		}
		// Connections outlive the moment their certificate was verified.
		if err := checkTime(cert, now); err != nil {
			return err
		}
		if a.Removed != nil && a.Removed(id.NodeID) {
			return errRemoved(id.NodeID)
		}
		have, who = accessOf(id), fmt.Sprintf("%s %s", RoleName(id.Role), id.NodeID)
	}
	allowed := a.allowed(method)
	if allowed&have == 0 {
		return errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("%s is for %s, not for %s", method, allowed, who))
	}
	return nil
}

func (a Authorizer) allowed(method string) Access {
	if access, ok := a.Methods[method]; ok {
		return access
	}
	return a.Methods[method[:strings.LastIndexByte(method, '/')+1]]
}
