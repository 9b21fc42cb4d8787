// Package gossip finds the nodes of a cluster and notices fast when one stops
// answering, by memberlist.
//
// What it says is a hint and never a verdict: a node that is suspected makes
// the leader look at the node's session, and the session decides. All traffic
// is encrypted with keys that the managers give and rotate, and labelled with
// the cluster's id, so that clusters on one network do not meet.
package gossip
