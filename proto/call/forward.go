package call

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc/metadata"
)

// principalKey is the metadata key under which the principal travels with a
// call that one manager hands on to another. Its presence is what marks such
// a call.
const principalKey = "muster-principal-bin"

// Forward returns the context of the call that goes out when the one that ctx
// serves is handed on: its metadata, and who makes it, instead of whatever the
// metadata says of that.
func Forward(ctx context.Context) (context.Context, error) {
	encoded, err := From(ctx).encode()
	if err != nil {
		return nil, err
	}
	md, _ := metadata.FromIncomingContext(ctx)
	md = md.Copy()
	md.Set(principalKey, encoded)
	return metadata.NewOutgoingContext(ctx, md), nil
}

// IsForwarded reports whether a manager has handed on the call that ctx
// serves. It is true of what anybody says until [Strip] has been here.
func IsForwarded(ctx context.Context) bool {
	md, _ := metadata.FromIncomingContext(ctx)
	return len(md.Get(principalKey)) > 0
}

// Forwarded returns who makes a call that was handed on. It may be asked about
// calls of managers only. InvalidArgument means that the metadata names no one,
// or more than one.
func Forwarded(ctx context.Context) (Principal, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	values := md.Get(principalKey)
	if len(values) != 1 {
		return Principal{}, fmt.Errorf("a call that was handed on names %d principals, it must be one: %w", len(values), errdefs.ErrInvalidArgument)
	}
	return decode(values[0])
}

// Strip returns ctx without what its caller's metadata says of principals.
func Strip(ctx context.Context) context.Context {
	if !IsForwarded(ctx) {
		return ctx
	}
	md, _ := metadata.FromIncomingContext(ctx)
	md = md.Copy()
	md.Delete(principalKey)
	return metadata.NewIncomingContext(ctx, md)
}
