package rpcerror

import (
	"context"

	"google.golang.org/grpc"
)

// ServerOptions make a server translate what its handlers and the
// interceptors added later return. Give them first.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(serverUnary),
		grpc.ChainStreamInterceptor(serverStream),
	}
}

// DialOptions make a client translate what its calls return. Give them first,
// so that they see the errors of the interceptors that follow too.
func DialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithChainUnaryInterceptor(clientUnary),
		grpc.WithChainStreamInterceptor(clientStream),
	}
}

func serverUnary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	resp, err := handler(ctx, req)
	return resp, ToWire(err)
}

func serverStream(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	return ToWire(handler(srv, ss))
}

func clientUnary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	return FromWire(invoke(ctx, method, req, reply, cc, opts...))
}

func clientStream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	s, err := open(ctx, desc, cc, method, opts...)
	if err != nil {
		return nil, FromWire(err)
	}
	return nativeStream{s}, nil
}

// nativeStream translates the errors of a stream's own methods.
type nativeStream struct{ grpc.ClientStream }

func (s nativeStream) RecvMsg(m any) error { return FromWire(s.ClientStream.RecvMsg(m)) }
func (s nativeStream) SendMsg(m any) error { return FromWire(s.ClientStream.SendMsg(m)) }
func (s nativeStream) CloseSend() error    { return FromWire(s.ClientStream.CloseSend()) }
