// Package ruleset holds the routing mesh as data: two nftables tables per
// address family, with the chains that never change, the sets that do, and
// the differences between two such tables.
//
// [New] gives the table of an empty mesh, the Put methods of [Table] fill it,
// and [NewZones] gives the other. [Diff] says what separates a table from what
// the kernel holds; [Read], [Apply] and [Remove] do the I/O. The path of a
// packet through the chains is drawn in ingress/DESIGN.md.
package ruleset
