// Package control runs level-triggered controllers.
//
// A controller is a set of keys to look at and a function that looks at one.
// It keeps no memory that matters: a new leader that looks at every key again
// decides the same things.
//
// The loop plans all due keys from one state and proposes their changes
// together, so that a hundred services cost few log entries. A plan is applied
// in its order, but a long one in several commands: each prefix of it has to
// leave a state from which planning again leads to the same end.
//
// Controllers that may take the same decision from the same state are run by
// one [Run], which lets each see what those before it did.
package control
