// Package ruleset holds the routing mesh as data: one nftables table per
// address family, with the chains that never change, the sets that do, and
// the differences between two such tables.
//
// [New] gives the table of an empty mesh, the Put methods of [Table] fill it,
// [Diff] says what separates it from what the kernel holds, and [Conn] reads
// and writes the kernel. Only Conn does I/O. The path of a packet through the
// chains is drawn in ingress/DESIGN.md.
package ruleset
