// Package containerd runs tasks with containerd: it makes containers whose
// process sees what Docker's would, follows them across restarts of muster and
// of containerd, and frees everything they held. It also writes the lean
// configuration of the containerd that muster manages itself.
package containerd
