// Package mtls is who a node is: its key and certificate on disk, how it gets
// and renews them, the TLS settings made of them, and what a peer may call.
//
// A certificate's subject names the node (CN), its role (OU) and its cluster
// (O), as Docker Swarm's do. Every connection between nodes is TLS 1.3 with
// both ends verified against the cluster's root; settings are read when a
// connection is made, so a renewed certificate needs no restart. See DESIGN.md.
package mtls
