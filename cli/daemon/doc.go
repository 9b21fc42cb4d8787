// Package daemon is the composition root: the only place that knows every
// part. It reads the configuration, holds the state folder, runs containerd
// and the logger as children, and while the node is a member of a cluster it
// runs the manager, the worker and the data plane by the node's role.
package daemon
