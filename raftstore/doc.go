// Package raftstore keeps the replicated state of the cluster.
//
// A change goes one way only: [Store.Propose] turns typed changes into one
// log entry, raft commits it, and [State.Apply] folds it into the next
// [State]. Everyone else reads immutable States and waits on a
// [Subscription].
//
// What is in a State must follow from the log alone: the state machine reads
// no clock but the command's, draws no random number, and orders nothing by
// map iteration. DESIGN.md tells why and what follows from it.
package raftstore
