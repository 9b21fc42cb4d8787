// Package node composes a node of its parts: the control port with its TLS and
// authorization, the manager on its replicated store, the worker, the data
// plane, gossip, and the renewal of the certificate. It founds, joins, resumes
// and leaves a cluster.
//
// It is the only composition there is. What a node stands on is given to it
// ([Config]): a network to listen and dial on, a machine that runs containers,
// gossip, and where to keep its state. The daemon gives it the real ones,
// integration/cluster fakes on a fake clock.
package node
