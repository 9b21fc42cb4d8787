// Package update rolls a changed spec out over the slots of a service, and
// rolls it back.
//
// It owns one decision: when a task that is out of date makes room for one
// that is not. Slots that have no task to run are for package replicated,
// which uses the new spec too; failures of any task of the new spec count here,
// whoever created it.
//
// All progress is in the service's replicated UpdateStatus, so a new leader
// goes on in the middle, and the plan is a function of state and time alone.
// See DESIGN.md.
//
// It runs in one group with the other orchestrators that create tasks.
package update
