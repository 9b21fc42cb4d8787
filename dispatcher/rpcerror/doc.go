// Package rpcerror carries errors over gRPC: kinds of containerd/errdefs on
// both sides, gRPC codes between, and messages of one plain line.
//
// It is the only place that knows gRPC codes. Handlers return errdefs kinds
// and callers test for them; neither sees "rpc error: code = …".
package rpcerror
