// Package dispatcher is the managers' half of the wire between managers and
// workers: it tells every node what it should be and writes down what the
// nodes observe.
//
// A [Server] answers on every manager. Only the one whose [Server.Lead] runs
// has sessions; the others send workers on to the leader. What a node is told
// is decided in dispatcher/plan, when a node is lost in dispatcher/lease, both
// pure; here are the loops and sessions that act on it. The worker's half is
// dispatcher/agent. DESIGN.md tells the protocol and why it is so.
package dispatcher
