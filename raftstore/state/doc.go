// Package state is the replicated state machine of the cluster: what is in a
// [State], and what each change makes of it ([State.Apply]).
//
// It is pure. What is in a State must follow from the log alone: nothing here
// reads a clock but the command's, draws a random number, does I/O, or orders
// anything by map iteration. DESIGN.md tells why and what follows from it.
package state
