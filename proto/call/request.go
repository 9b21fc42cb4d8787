package call

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"unicode/utf8"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/muster/muster/proto/id"
)

const (
	// RequestIDKey is the metadata key of the id that makes a repeated write
	// known. Calls that are handed on keep it.
	RequestIDKey = "muster-request-id"
	// maxRequestID bounds an id: it is kept in the replicated state.
	maxRequestID = 128
)

// WithRequestID returns a context whose outgoing calls carry a request id. All
// of its calls are repetitions of one.
func WithRequestID(ctx context.Context, requestID string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, RequestIDKey, requestID)
}

// RequestOf says what the call that a handler serves asks for, and who makes it:
// its request id stands for nothing else. Users on the socket of one node are
// those on another's, which a command asks when the first does not answer.
func RequestOf(ctx context.Context) string {
	method, _ := grpc.Method(ctx)
	content, _ := ctx.Value(contentKey{}).(string)
	return method + content + " by " + From(ctx).String()
}

type contentKey struct{}

// NewContent returns the context of a call that asks for m, which RequestOf
// tells from other requests by a digest. A call without a request id stands for
// nothing, and is not told apart.
func NewContent(ctx context.Context, m proto.Message) context.Context {
	md, _ := metadata.FromIncomingContext(ctx)
	if len(md.Get(RequestIDKey)) == 0 {
		return ctx
	}
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return ctx // it was just received, so it can be sent
	}
	sum := sha256.Sum256(raw)
	return context.WithValue(ctx, contentKey{}, " "+hex.EncodeToString(sum[:8]))
}

// RequestID returns the request id of the call that a handler serves, or a
// new one when the caller gave none that can be kept: 1 to 128 bytes of UTF-8.
func RequestID(ctx context.Context) string {
	md, _ := metadata.FromIncomingContext(ctx)
	if ids := md.Get(RequestIDKey); len(ids) > 0 && ids[0] != "" && len(ids[0]) <= maxRequestID && utf8.ValidString(ids[0]) {
		return ids[0]
	}
	return id.New()
}
