// Package plan says what every node should be in one state of the cluster,
// and what leads from one such plan to the next. It is pure: no goroutines, no
// clock, no wire, and no lock but that of a remembered comparison.
//
// [First] makes the plan of a state, [Plan.Next] that of a later one from what
// changed. [Plan.Set] is what one node should be; [Set.Full] and [Set.Since]
// are the messages that tell it.
package plan
