// Package dns is the resolver of a node's tasks: a process that outlives the
// daemon and answers at 127.0.0.11 in the network namespace of each of them.
// [Run] is its main function, [Feed] what the daemon tells it names by. What the
// names mean is in ingress/dns/names, who else is asked in ingress/dns/upstream;
// DESIGN.md says why it is so.
package dns
