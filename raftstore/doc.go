// Package raftstore replicates the state of the cluster between managers.
//
// A change goes one way only: [Store.Propose] turns typed changes into one
// log entry, raft commits it, and package state folds it into the next
// [state.State]. Everyone else reads immutable States and waits on a
// [Subscription].
package raftstore
