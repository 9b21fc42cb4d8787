// Package conntrack lists and deletes the flows that the kernel tracks.
//
// A node may have hundreds of thousands, and a list of them all costs the
// kernel most of what it costs. So the kernel is asked for those of one address,
// protocol or port wherever that is all that matters (CTA_FILTER, since Linux
// 5.8; older kernels list all, and what does not match is left out here), and
// what it lists is read where it lies, without an allocation a flow.
package conntrack
