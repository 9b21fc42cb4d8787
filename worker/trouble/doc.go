// Package trouble finds out what keeps a node from doing its work, so that
// managers give it none, and people read why.
//
// Whatever the node needs has a [Check], which asks it for a sign of life. A
// thing that hangs is a trouble like one that fails, and costs no more than
// its own check.
package trouble
