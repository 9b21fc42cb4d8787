// Package enforce moves tasks off nodes that no longer fit them: after labels,
// the role or the resources of an active node changed, tasks whose constraints
// are broken or whose reservations are more than there is are replaced.
//
// A change of the service's own constraints is not its matter: those tasks are
// out of date and are rolled by package update. Nothing is ever moved just
// because another node would be better.
//
// It creates tasks, so it runs in one group with the other orchestrators.
package enforce
