// Package dispatcher is the managers' half of the wire between managers and
// workers: it tells every node what it should be and writes down what the
// nodes observe.
//
// A [Server] answers on every manager. Only the one whose [Server.Lead] runs
// has sessions; the others send workers on to the leader. Which state a node
// is told is a pure function ([plan.set], [diff]); when a node is lost is
// another ([leases.expired]). DESIGN.md tells the protocol and why it is so.
package dispatcher
