// Package soak harms a cluster of five real nodes at random, and changes it
// on purpose in between. After each time the cluster has to be whole again:
// every node ready, every replica answering through every node, nothing that
// runs twice, and no acknowledged write lost.
package soak
