// Package listen serves every protocol of a node on one TCP port: TLS picks
// the protocol (ALPN) and proves who the peer is, then the connection goes to
// the listener of that protocol. The daemon's unix socket joins the same gRPC
// server as a local listener.
package listen
