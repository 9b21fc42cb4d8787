package forward

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/muster/muster/proto/call"
)

// Director names the connection that a call goes out on.
type Director func(ctx context.Context) (*grpc.ClientConn, error)

// Handler hands every call on to where direct says. Use it with
// grpc.UnknownServiceHandler. It returns the error of the server that
// answered, unchanged, unless that is a cancellation that the caller did not
// ask for: then the other manager no longer leads, and the caller may ask again.
//
// A method that the leader does not answer is not handed on: NotImplemented.
func Handler(direct Director) grpc.StreamHandler {
	return func(_ any, in grpc.ServerStream) error {
		method, ok := grpc.Method(in.Context())
		if !ok {
			return fmt.Errorf("a call without a method: %w", errdefs.ErrInvalidArgument)
		}
		if rule, _ := call.Lookup(method); !rule.Leader {
			return fmt.Errorf("this node does not answer %s: %w", method, errdefs.ErrNotImplemented)
		}
		conn, err := direct(in.Context())
		if err != nil {
			return err
		}
		outgoing, err := call.Forward(in.Context())
		if err != nil {
			return err
		}
		// Ending this context ends the outgoing stream and its goroutine.
		ctx, cancel := context.WithCancel(outgoing)
		defer cancel()
		desc := &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
		out, err := conn.NewStream(ctx, desc, method, grpc.ForceCodecV2(Codec()))
		if err == nil {
			err = pipe(in, out)
		}
		if status.Code(err) == codes.Canceled && in.Context().Err() == nil {
			return status.Errorf(codes.Unavailable, "the call was cut off, as when another manager takes the lead: %s", status.Convert(err).Message())
		}
		return err
	}
}

// pipe copies both ways until the answering side has ended.
func pipe(in grpc.ServerStream, out grpc.ClientStream) error {
	sent := make(chan error, 1)
	go func() { sent <- upstream(in, out) }()
	err := downstream(in, out)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	// The sender ends when the caller has sent all, or with the handler's
	// context, which gRPC cancels on return; it is not waited for here, since
	// a caller may keep its side open after the answer is complete.
	select {
	case sendErr := <-sent:
		if err == nil {
			err = sendErr
		}
	default:
	}
	return err
}

func upstream(in grpc.ServerStream, out grpc.ClientStream) error {
	for {
		var f frame
		err := in.RecvMsg(&f)
		if errors.Is(err, io.EOF) {
			return out.CloseSend()
		}
		if err != nil {
			return nil //nolint:nilerr // the caller went away; downstream tells
		}
		err = out.SendMsg(&f)
		f.data.Free()
		if err != nil {
			return nil //nolint:nilerr // downstream receives the reason
		}
	}
}

func downstream(in grpc.ServerStream, out grpc.ClientStream) error {
	for {
		var f frame
		if err := out.RecvMsg(&f); err != nil {
			in.SetTrailer(out.Trailer())
			return err
		}
		err := in.SendMsg(&f)
		f.data.Free()
		if err != nil {
			return err
		}
	}
}
