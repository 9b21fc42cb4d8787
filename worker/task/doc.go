// Package task brings one task along on a node: from assigned to running,
// and from there to an end that is seen, drained and cleaned up.
//
// What to do next is a pure table ([step]). A [Controller] is one goroutine
// per task that does it on the executor and tells what came of it.
package task
