// Package cluster runs a whole cluster in one test, on a clock that only moves
// while everybody waits.
//
// Every node is what the daemon makes of it: the real manager.Manager on the
// real raftstore, and the real worker.Worker. What is fake is what they stand
// on: a network of pipes that can be cut ([Cluster.Isolate]), a container
// runtime of timers, a kernel that takes its time to hold a mesh, and disks of
// memory that keep what was written when a node is killed ([Cluster.Crash]).
// Messages take a little fake time, so that a node can be killed in the
// middle of anything.
//
// When a story has ended, the harness stops every node, and replays the log
// of the cluster through the state machine: what must hold in every state that
// ever was is checked in each one (history.go), whatever the story was about.
package cluster
