// Package swarm implements the swarm commands, which make, join and leave a
// cluster, one file each.
package swarm
