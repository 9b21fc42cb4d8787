// Package replicated keeps the wanted number of slots of each service filled.
//
// It owns every decision about a slot but one: it creates slots and removes
// them, replaces tasks that ended by themselves as the restart policy says,
// and moves tasks off nodes that are lost or being drained. Replacing tasks
// that are out of date is for package update alone, which may have two tasks
// in a slot while it does so.
//
// It runs in one group with the other orchestrators that create tasks (see
// control.Run), so that no two of them fill one slot from the same state.
package replicated
