// Package network holds the rules about networks: which one published ports
// lead into, and which of its addresses a task answers them on.
package network

// Ingress is id and name of the network that published ports lead into. A
// cluster has it from its founding, so that every part knows it without
// looking it up.
const Ingress = "ingress"
