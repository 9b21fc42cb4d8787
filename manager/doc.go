// Package manager is the control plane of a node that votes.
//
// Every manager holds the replicated state and takes every call. The one that
// leads also runs the controllers that [controllers] lists, the dispatcher
// that workers talk to, and the services that answer users; the others hand
// calls on to it. Leadership is a context: when it ends, all of that ends.
package manager
