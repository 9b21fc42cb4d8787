// Package cluster runs a whole cluster in one test, on a clock that only moves
// while everybody waits.
//
// Every node is the daemon's own composition, cli/daemon/node: it founds the
// cluster, joins it by a token, answers on a control port with mutual TLS and
// ALPN, authorizes who calls, replicates by raft streams, renews its
// certificate and leaves. What is fake is what a node stands on: a network of
// channels that can be cut ([Cluster.Isolate]), a container runtime of timers,
// a kernel that takes its time to hold a mesh, gossip in which nobody says
// anything, and logs of raft in memory that keep what was written when a node
// is killed ([Cluster.Crash]). Bytes take a little fake time, so that a node can
// be killed in the middle of anything.
//
// Nobody may wait for fake time while it holds a lock that others wait for: the
// clock stands still while somebody waits for a lock. So writers on the network
// do not wait for what they send to arrive.
//
// When a story has ended, the harness stops every node, and replays the log
// of the cluster through the state machine: what must hold in every state that
// ever was is checked in each one (history.go), whatever the story was about.
package cluster
