// Package slot groups the tasks of a service by slot and holds the rules about
// one slot that all orchestrators share: which task is out of date, which has
// lost its place, what a new task looks like, and which slots go first when
// there are too many.
//
// A slot is a numbered place of a service for one serving task. It exists
// while any of its tasks is not to be removed; its number is kept for life.
//
// Everything here is a pure function of state.
package slot
