// Package stories holds tests on real nodes: network namespaces with a daemon,
// a containerd and an address each, real images, a real kernel. A story reads
// like the incident that it prevents.
package stories
